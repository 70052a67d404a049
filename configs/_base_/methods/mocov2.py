# MoCo v2 (Chen et al. 2020): the student's view 1 against the teacher's view 0 and a queue of the
# teacher's past projections.
model = dict(
    type='MultiView',
    neck=dict(type='MLP', hidden_channels=2048, out_channels=128, norm='none'),
    teacher=dict(momentum=0.999, shuffle_groups=8),
    num_targets=1,
    teacher_only_views=1,
    head=dict(type='MoCoHead', queue_size=65536, temperature=0.2),
    data_preprocessor=dict(type='MultiViewPreprocessor', views='moco'))

er_head = dict(_delete_=True, type='ERHead', kappa=10.0)
