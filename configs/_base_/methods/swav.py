# SwAV (Caron et al. 2020): each view predicts the other's assignment to balanced prototypes.
model = dict(
    type='MultiView',
    neck=dict(type='MLP', hidden_channels=2048, out_channels=128),
    head=dict(
        type='AssignmentHead',
        assigner=dict(type='Sinkhorn', epsilon=0.05, iterations=3),
        student_temp=0.1,
        num_prototypes=3000,
        queue_size=3840),
    data_preprocessor=dict(type='MultiViewPreprocessor', views='swav'))

schedules = dict(
    # The queue, of use to batches smaller than the prototypes are many, starts late ...
    use_queue=dict(
        type='ScheduleHook', path='model.head.use_queue',
        start=False, end=True, shape='step', epochs=15),
    # ... and the prototypes stay as they were drawn for an epoch.
    frozen=dict(
        type='ScheduleHook', path='model.head.prototypes.frozen',
        start=True, end=False, shape='step', epochs=1))

er_head = dict(
    _delete_=True,
    type='DiscreteERHead',
    num_prototypes=3000,
    entropy_weight=0.5,
    student_temp=0.1,
    assigner=dict(type='Sharpening', teacher_temp=0.05))
