# BYOL in the study of the claims (docs/claims.md), minutes on one CPU core; with the numbers that
# tuning chose kNN goes from 0.20 to 0.31, with ER to 0.43. Its EMA coefficient is constant.
#
#     python tools/studies/arrays.py cifar10 data/cifar10   # once: the images as arrays
#     python tools/train.py configs/studies/byol.py --amp \
#         --cfg-options model.teacher.momentum=0.9
#     python tools/train.py configs/studies/byol.py --amp --objective er \
#         --cfg-options model.teacher.momentum=0.9 optim_wrapper.optimizer.lr=4e-3
#
_base_ = ['../_base_/methods/byol.py', '../_base_/settings/study.py']

model = dict(
    backbone=_base_._backbone,
    neck=dict(hidden_channels=512, out_channels=128),
    predictor=dict(hidden_channels=512),
    data_preprocessor=dict(_base_._pixels, views='cifar'))
schedules = dict(teacher_momentum=None)
