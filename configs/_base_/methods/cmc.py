# CMC (Tian et al. 2020): L and ab of an image are its two views, each with a network of its own
# (SplitBackbone). Negatives come from the batch here, from a memory bank in the paper.
_both_ways = dict(type='ViewTargets', stop_gradient=False)
model = dict(
    type='MultiView',
    neck=dict(type='MLP', num_layers=1, hidden_channels=128, out_channels=128),
    head=dict(
        type='PairHead',
        loss=dict(type='InfoNCELoss', temperature=0.07),
        target=_both_ways,
        loss_weight=2.0),  # the paper sums the two directions
    data_preprocessor=dict(type='MultiViewPreprocessor', views='cmc', color_space='lab'))

# Nothing but the entropy keeps images apart, so an image's own kernel is left out.
er_head = dict(_delete_=True, type='ERHead', kappa=10.0, estimator='loo', target=_both_ways)
