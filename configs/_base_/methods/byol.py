# BYOL (Grill et al. 2020): a predictor regresses the teacher's projection of the other view.
model = dict(
    type='MultiView',
    neck=dict(type='MLP', hidden_channels=4096, out_channels=256),
    predictor=dict(type='MLP', hidden_channels=4096),
    teacher=dict(momentum=0.99),
    head=dict(type='PairHead', loss=dict(type='CosineSimilarityLoss')),
    data_preprocessor=dict(type='MultiViewPreprocessor', views='byol'))

schedules = dict(
    teacher_momentum=dict(type='ScheduleHook', path='model.teacher.momentum', end=1.0))

# What `--objective er` puts in the place of model.head. A leaf config does the same in one line:
# model = dict(head=_base_.er_head)
er_head = dict(_delete_=True, type='ERHead', kappa=10.0)
