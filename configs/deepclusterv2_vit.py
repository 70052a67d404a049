# DeepCluster v2 on the digits, a small ViT; times on one CPU core (half
# of the epochs with ER).
#
#     python tools/train.py configs/deepclusterv2_vit.py                 # 9 min, kNN 0.44 to 0.90
#     python tools/train.py configs/deepclusterv2_vit.py --objective er  # 3 min, kNN 0.44 to 0.85
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
