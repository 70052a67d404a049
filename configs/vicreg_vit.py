# VICReg on the digits, a small ViT; times on one CPU core.
#
#     python tools/train.py configs/vicreg_vit.py                 # 2 min, kNN 0.45 to 0.88
#     python tools/train.py configs/vicreg_vit.py --objective er  # 2 min, kNN 0.45 to 0.91
#
_base_ = ['./_base_/methods/vicreg.py', './_base_/settings/digits_vit.py']

model = dict(
    backbone=_base_._backbone,
    neck=dict(hidden_channels=512, out_channels=512),
    data_preprocessor=dict(_base_._pixels, views='gentle'))
