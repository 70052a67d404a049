# VICReg in the study of the claims (docs/claims.md), minutes on one CPU core.
#
#     python tools/studies/arrays.py cifar10 data/cifar10   # once: the images as arrays
#     python tools/train.py configs/studies/vicreg.py --amp
#     python tools/train.py configs/studies/vicreg.py --amp --objective er
#
_base_ = ['../_base_/methods/vicreg.py', '../_base_/settings/study.py']

model = dict(
    backbone=_base_._backbone,
    neck=dict(hidden_channels=512, out_channels=512),
    data_preprocessor=dict(_base_._pixels, views='cifar'))

er_head = dict(estimator='joe')  # `loo` is one of the things that are tuned
