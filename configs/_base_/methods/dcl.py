# DCL (Yeh et al. 2021): SimCLR whose positives are not among the negatives that they are held
# against. With model.head.loss.sigma=0.5 it is DCLW.
model = dict(
    type='MultiView',
    neck=dict(type='MLP', hidden_channels=2048, out_channels=128, last_norm='batch'),
    head=dict(type='JointHead', loss=dict(type='DCLLoss', temperature=0.1)),
    data_preprocessor=dict(type='MultiViewPreprocessor', views='simclr'))

# As SimCLR's.
er_head = dict(
    _delete_=True,
    type='ERHead',
    kappa=10.0,
    estimator='loo',
    target=dict(type='ViewTargets', stop_gradient=False))
