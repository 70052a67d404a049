# FroSSL (Skean et al. 2023): views near their mean, and a flat spectrum of each view.
model = dict(
    type='MultiView',
    neck=dict(type='MLP', num_layers=3, hidden_channels=2048, out_channels=1024),
    head=dict(type='ViewsHead', loss=dict(type='FroSSLLoss', invariance=1.0)),
    data_preprocessor=dict(type='MultiViewPreprocessor', views='byol'))

# As SimCLR's.
er_head = dict(
    _delete_=True,
    type='ERHead',
    kappa=10.0,
    estimator='loo',
    target=dict(type='ViewTargets', stop_gradient=False))
