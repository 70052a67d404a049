# Barlow Twins (Zbontar et al. 2021): the cross-correlation of two views becomes the identity.
model = dict(
    type='MultiView',
    neck=dict(type='MLP', num_layers=3, hidden_channels=8192, out_channels=8192),
    head=dict(type='JointHead', loss=dict(type='BarlowTwinsLoss', lambd=5e-3)),
    data_preprocessor=dict(type='MultiViewPreprocessor', views='barlowtwins'))

# As SimCLR's.
er_head = dict(
    _delete_=True,
    type='ERHead',
    kappa=10.0,
    estimator='loo',
    target=dict(type='ViewTargets', stop_gradient=False))
