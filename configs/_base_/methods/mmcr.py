# MMCR (Yerxa et al. 2023): the means of images' views span as much as they can.
model = dict(
    type='MultiView',
    neck=dict(type='MLP', num_layers=3, hidden_channels=8192, out_channels=512),
    head=dict(type='ViewsHead', loss=dict(type='MMCRLoss')),
    data_preprocessor=dict(type='MultiViewPreprocessor', views='byol'))

# As SimCLR's.
er_head = dict(
    _delete_=True,
    type='ERHead',
    kappa=10.0,
    estimator='loo',
    target=dict(type='ViewTargets', stop_gradient=False))
