# DeepCluster v2 (Caron et al. 2020, appendix of SwAV): spherical k-means of a bank once an epoch;
# its centroids are the prototypes.
model = dict(
    type='MultiView',
    neck=dict(type='MLP', hidden_channels=2048, out_channels=128),
    head=dict(type='DeepClusterV2Head', num_clusters=[3000, 3000, 3000], temperature=0.1),
    data_preprocessor=dict(type='MultiViewPreprocessor', views='swav'))

# Prototypes are trained here: SwAV + ER with several heads.
er_head = dict(
    _delete_=True,
    type='DiscreteERHead',
    num_prototypes=[3000, 3000, 3000],
    entropy_weight=0.5)
