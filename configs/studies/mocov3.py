# MoCo v3 in the study of the paper's claims; its EMA coefficient is constant.
_base_ = ['../_base_/methods/mocov3.py', '../_base_/settings/study.py']

model = dict(
    backbone=_base_._backbone,
    neck=dict(hidden_channels=512, out_channels=128),
    predictor=dict(hidden_channels=512),
    data_preprocessor=dict(_base_._pixels, views='cifar'))
schedules = dict(teacher_momentum=None)
