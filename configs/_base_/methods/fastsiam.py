# FastSiam (Pototzky et al. 2022): SimSiam whose target is the mean of the other three views.
model = dict(
    type='MultiView',
    num_targets=4,
    neck=dict(
        type='MLP', num_layers=3, hidden_channels=2048, out_channels=2048, last_norm='batch'),
    predictor=dict(type='MLP', hidden_channels=512),
    head=dict(
        type='PairHead',
        loss=dict(type='CosineSimilarityLoss'),
        target=dict(type='MeanTargets')),
    data_preprocessor=dict(
        type='MultiViewPreprocessor', views=dict(type='simsiam', num_views=4)))

er_head = dict(_delete_=True, type='ERHead', kappa=10.0, target=dict(type='MeanTargets'))
