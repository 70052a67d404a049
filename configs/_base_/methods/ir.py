# Instance recognition (Wu et al. 2018): one view against a bank with an embedding of every image.
model = dict(
    type='MultiView',
    neck=dict(type='MLP', num_layers=1, hidden_channels=128, out_channels=128),
    num_targets=1,
    head=dict(type='InstanceHead', temperature=0.07, momentum=0.5, num_negatives=4096),
    data_preprocessor=dict(type='MultiViewPreprocessor', views='instance'))

# The target is the bank's entry of the image. Nothing but the entropy keeps images apart, so an
# image's own kernel is left out.
er_head = dict(
    _delete_=True,
    type='ERHead',
    kappa=10.0,
    estimator='loo',
    target=dict(type='BankTargets', momentum=0.5))
