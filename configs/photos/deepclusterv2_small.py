# DeepCluster v2 on one's own photographs, a ViT of 0.9 M parameters at 96 pixels; for a CPU.
#
#     python tools/train.py configs/photos/deepclusterv2_small.py --data FOLDER
#     python tools/train.py configs/photos/deepclusterv2_small.py --data FOLDER --objective er
#
# 0.48 GFLOP an image, forward and backward.
_base_ = ['../_base_/methods/deepclusterv2.py', '../_base_/settings/photos_small.py']

model = dict(
    backbone=_base_._multicrop,
    neck=dict(hidden_channels=512, out_channels=128),
    head=dict(num_clusters=[100, 100, 100]),
    data_preprocessor=dict(_base_._pixels, views=dict(_delete_=True, type='swav', num_local=2)))

er_head = dict(
    num_prototypes=[128, 128, 128], assigner=dict(type='Sharpening', teacher_temp=0.02))
