# DeepCluster on the digits, a small ViT; times on one CPU core.
#
#     python tools/train.py configs/deepcluster_vit.py                 # 2 min, kNN 0.45 to 0.81
#     python tools/train.py configs/deepcluster_vit.py --objective er  # 2 min, kNN 0.45 to 0.77
#
_base_ = ['./_base_/methods/deepcluster.py', './_base_/settings/digits_vit.py']

model = dict(
    backbone=_base_._backbone,
    # An untrained ViT embeds all images nearly alike; BatchNorm spreads them.
    neck=dict(hidden_channels=512, out_channels=128, last_norm='batch'),
    head=dict(num_clusters=32, interval=10),  # an epoch is 22 steps
    data_preprocessor=dict(_base_._pixels, views='gentle_one'))

er_head = dict(
    num_prototypes=64,
    assigner=dict(type='Sharpening', teacher_temp=0.02))
optim_wrapper = dict(optimizer=dict(lr=2e-3))
train_cfg = dict(max_epochs=40)
