# DCL on the digits, a small ViT; times on one CPU core.
#
#     python tools/train.py configs/dcl_vit.py                 # 2 min, kNN 0.45 to 0.91
#     python tools/train.py configs/dcl_vit.py --objective er  # 2 min, kNN 0.45 to 0.92
#
_base_ = ['./_base_/methods/dcl.py', './_base_/settings/digits_vit.py']

model = dict(
    backbone=_base_._backbone,
    neck=dict(hidden_channels=512, out_channels=128),
    data_preprocessor=dict(_base_._pixels, views='gentle'))
