# SimSiam (Chen & He 2021): BYOL without a teacher; the targets' gradient is stopped.
model = dict(
    type='MultiView',
    neck=dict(
        type='MLP', num_layers=3, hidden_channels=2048, out_channels=2048, last_norm='batch'),
    predictor=dict(type='MLP', hidden_channels=512),
    head=dict(type='PairHead', loss=dict(type='CosineSimilarityLoss')),
    data_preprocessor=dict(type='MultiViewPreprocessor', views='simsiam'))

er_head = dict(_delete_=True, type='ERHead', kappa=10.0)
