# DINO (Caron et al. 2021): the student's softmax over prototypes follows the teacher's, which is
# centred and sharpened.
model = dict(
    type='MultiView',
    neck=dict(
        type='PrototypeNeck',
        projector=dict(
            type='MLP', num_layers=3, hidden_channels=2048, out_channels=256,
            norm='none', activation='gelu'),
        num_prototypes=65536),
    teacher=dict(momentum=0.996),
    head=dict(
        type='AssignmentHead',
        assigner=dict(type='Centering', teacher_temp=0.04, momentum=0.9),
        student_temp=0.1),
    data_preprocessor=dict(type='MultiViewPreprocessor', views='dino'))

schedules = dict(
    teacher_momentum=dict(type='ScheduleHook', path='model.teacher.momentum', end=1.0),
    teacher_temp=dict(
        type='ScheduleHook', path='model.head.assigner.teacher_temp',
        end=0.07, shape='linear', epochs=30),
    frozen=dict(
        type='ScheduleHook', path='model.neck.prototypes.frozen',
        start=True, end=False, shape='step', epochs=1),
    # For AdamW, from a weight decay of 0.04; None with other optimisers.
    weight_decay=dict(
        type='ScheduleHook', path='optim_wrapper.optimizer.weight_decay', end=0.4))

# Sharpening without a centre: the entropy term takes its place, at half its weight, which did
# better than the whole (docs/claims.md).
er_head = dict(
    _delete_=True,
    type='DiscreteERHead',
    entropy_weight=0.5,
    student_temp=0.1,
    assigner=dict(type='Sharpening', teacher_temp=0.04))
