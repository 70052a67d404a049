# EMP-SSL on one's own photographs, ViT-S/16 at 224 pixels; for a GPU (--amp).
#
#     python tools/train.py configs/photos/empssl_vits16.py --data FOLDER
#     python tools/train.py configs/photos/empssl_vits16.py --data FOLDER --objective er
#
_base_ = ['../_base_/methods/empssl.py', '../_base_/settings/photos_vits16.py']

model = dict(
    backbone=_base_._backbone,
    data_preprocessor=dict(_base_._pixels, views=dict(num_views=8)))
