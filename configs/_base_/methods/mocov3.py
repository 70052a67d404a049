# MoCo v3 (Chen et al. 2021): InfoNCE within the batch, a predictor against the teacher.
_temperature = 0.2
model = dict(
    type='MultiView',
    neck=dict(type='MLP', hidden_channels=4096, out_channels=256, last_norm='batch'),
    predictor=dict(type='MLP', hidden_channels=4096, last_norm='batch'),
    teacher=dict(momentum=0.99),
    head=dict(
        type='PairHead',
        loss=dict(type='InfoNCELoss', temperature=_temperature),
        # The paper sums the two directions, each times 2 * temperature; PairHead averages them.
        loss_weight=4 * _temperature),
    data_preprocessor=dict(type='MultiViewPreprocessor', views='mocov3'))

schedules = dict(
    teacher_momentum=dict(type='ScheduleHook', path='model.teacher.momentum', end=1.0))

er_head = dict(_delete_=True, type='ERHead', kappa=10.0)
