# DeepCluster (Caron et al. 2018): k-means once an epoch, its clusters classified from one view.
# The neck stands for the two wide layers at the end of the paper's AlexNet and VGG, whose Sobel
# filter is data_preprocessor.color_space='sobel'.
model = dict(
    type='MultiView',
    neck=dict(type='MLP', hidden_channels=4096, out_channels=4096),
    num_targets=1,
    head=dict(type='DeepClusterHead', num_clusters=10000),
    data_preprocessor=dict(type='MultiViewPreprocessor', views='deepcluster'))

# Trained prototypes, one view, images sampled uniformly. The target comes from the bank.
er_head = dict(
    _delete_=True,
    type='DiscreteERHead',
    num_prototypes=3000,
    entropy_weight=0.5,
    target=dict(type='BankTargets', momentum=0.5))
