# NNCLR (Dwibedi et al. 2021): the positive is the nearest neighbour of a view in a queue of past
# projections.
_neighbors = dict(type='NearestNeighborTargets', queue_size=98304)
model = dict(
    type='MultiView',
    neck=dict(
        type='MLP', num_layers=3, hidden_channels=2048, out_channels=256, last_norm='batch'),
    predictor=dict(type='MLP', hidden_channels=4096),
    head=dict(
        type='PairHead',
        loss=dict(type='InfoNCELoss', temperature=0.1, anchor='target'),
        target=_neighbors),
    data_preprocessor=dict(type='MultiViewPreprocessor', views='simclr'))

er_head = dict(_delete_=True, type='ERHead', kappa=10.0, target=_neighbors)
