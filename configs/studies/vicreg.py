# VICReg in the study of the paper's claims.
_base_ = ['../_base_/methods/vicreg.py', '../_base_/settings/study.py']

model = dict(
    backbone=_base_._backbone,
    neck=dict(hidden_channels=512, out_channels=512),
    data_preprocessor=dict(_base_._pixels, views='cifar'))
