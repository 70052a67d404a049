# SimCLR (Chen et al. 2020): the two views of an image against all others of the batch.
model = dict(
    type='MultiView',
    neck=dict(type='MLP', hidden_channels=2048, out_channels=128, last_norm='batch'),
    head=dict(type='JointHead', loss=dict(type='NTXentLoss', temperature=0.1)),
    data_preprocessor=dict(type='MultiViewPreprocessor', views='simclr'))

# Targets keep their gradient, as in NT-Xent. An image's own kernel is left out of its density: at
# kappa = 10 it is nearly all of it for batches of hundreds, and would hide the others.
er_head = dict(
    _delete_=True,
    type='ERHead',
    kappa=10.0,
    estimator='loo',
    target=dict(type='ViewTargets', stop_gradient=False))
