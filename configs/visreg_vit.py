# VISReg on the digits, a small ViT; times on one CPU core.
#
#     python tools/train.py configs/visreg_vit.py
#     python tools/train.py configs/visreg_vit.py --objective er
#
_base_ = ['./_base_/methods/visreg.py', './_base_/settings/digits_vit.py']

model = dict(
    backbone=_base_._backbone,
    neck=dict(hidden_channels=512, out_channels=128),
    data_preprocessor=dict(_base_._pixels, views='gentle_multicrop'))
