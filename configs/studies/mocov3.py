# MoCo v3 in the study of the claims (docs/claims.md), minutes on one CPU core; with the
# numbers that tuning chose kNN goes from 0.20 to 0.40, with ER to 0.42. Its EMA coefficient is
# constant.
#
#     python tools/studies/arrays.py cifar10 data/cifar10   # once: the images as arrays
#     python tools/train.py configs/studies/mocov3.py --amp
#     python tools/train.py configs/studies/mocov3.py --amp --objective er
#
_base_ = ['../_base_/methods/mocov3.py', '../_base_/settings/study.py']

model = dict(
    backbone=_base_._backbone,
    neck=dict(hidden_channels=512, out_channels=128),
    predictor=dict(hidden_channels=512),
    data_preprocessor=dict(_base_._pixels, views='cifar'))
schedules = dict(teacher_momentum=None)
