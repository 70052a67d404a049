# VICReg (Bardes et al. 2022): invariance, with variance and covariance kept from collapsing.
model = dict(
    type='MultiView',
    neck=dict(type='MLP', num_layers=3, hidden_channels=8192, out_channels=8192),
    head=dict(type='JointHead', loss=dict(type='VICRegLoss', sim=25.0, var=25.0, cov=1.0)),
    data_preprocessor=dict(type='MultiViewPreprocessor', views='vicreg'))

# As SimCLR's.
er_head = dict(
    _delete_=True,
    type='ERHead',
    kappa=10.0,
    estimator='loo',
    target=dict(type='ViewTargets', stop_gradient=False))
