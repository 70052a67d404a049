# ReSSL (Zheng et al. 2021): similarities to a queue, seen by the student in a strong view, follow
# those seen by the teacher in a weak one.
model = dict(
    type='MultiView',
    neck=dict(type='MLP', hidden_channels=4096, out_channels=512),
    teacher=dict(momentum=0.999),
    num_targets=1,
    teacher_only_views=1,
    head=dict(type='RelationHead', queue_size=131072, student_temp=0.1, teacher_temp=0.04),
    data_preprocessor=dict(type='MultiViewPreprocessor', views='ressl'))

er_head = dict(_delete_=True, type='ERHead', kappa=10.0)
