# EMP-SSL on one's own photographs, a ViT of 0.9 M parameters at 96 pixels; for a CPU.
#
#     python tools/train.py configs/photos/empssl_small.py --data FOLDER
#     python tools/train.py configs/photos/empssl_small.py --data FOLDER --objective er
#
_base_ = ['../_base_/methods/empssl.py', '../_base_/settings/photos_small.py']

model = dict(
    backbone=_base_._backbone,
    neck=dict(hidden_channels=512, out_channels=128),
    data_preprocessor=dict(_base_._pixels, views=dict(num_views=4)))
