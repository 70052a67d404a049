# MoCo v2 on one's own photographs, a ViT of 0.9 M parameters at 96 pixels; for a CPU.
#
#     python tools/train.py configs/photos/mocov2_small.py --data FOLDER
#     python tools/train.py configs/photos/mocov2_small.py --data FOLDER --objective er
#
# 0.26 GFLOP an image, forward and backward.
_base_ = ['../_base_/methods/mocov2.py', '../_base_/settings/photos_small.py']

model = dict(
    backbone=_base_._backbone,
    neck=dict(hidden_channels=512, out_channels=128, norm='batch', last_norm='batch'),
    teacher=dict(momentum=0.99, shuffle_groups=2),
    head=dict(queue_size=4096),
    data_preprocessor=_base_._pixels)
