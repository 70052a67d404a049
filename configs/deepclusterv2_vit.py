# DeepCluster v2 on the digits, a small ViT; times on one CPU core.
#
#     python tools/train.py configs/deepclusterv2_vit.py                 # 3 min, kNN 0.45 to 0.91
#     python tools/train.py configs/deepclusterv2_vit.py --objective er  # 3 min, kNN 0.45 to 0.88
#
_base_ = ['./_base_/methods/deepclusterv2.py', './_base_/settings/digits_vit.py']

model = dict(
    backbone=_base_._backbone,
    neck=dict(hidden_channels=512, out_channels=128),
    head=dict(num_clusters=[32, 32, 32], interval=10),  # an epoch is 22 steps
    data_preprocessor=dict(_base_._pixels, views='gentle'))

er_head = dict(
    num_prototypes=[64, 64, 64],
    assigner=dict(type='Sharpening', teacher_temp=0.02))
train_cfg = dict(max_epochs=40)
