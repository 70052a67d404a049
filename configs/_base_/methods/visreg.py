# VISReg (Wu et al. 2026): views near their mean, embeddings of a normal distribution's place, scale
# and shape.
model = dict(
    type='MultiView',
    neck=dict(type='MLP', num_layers=3, hidden_channels=2048, out_channels=256),
    head=dict(
        type='RegularizedHead', loss=dict(type='VISRegLoss', num_slices=4096), weight=0.9),
    data_preprocessor=dict(type='MultiViewPreprocessor', views='lejepa'))

# As SimCLR's.
er_head = dict(
    _delete_=True,
    type='ERHead',
    kappa=10.0,
    estimator='loo',
    target=dict(type='ViewTargets', stop_gradient=False))
