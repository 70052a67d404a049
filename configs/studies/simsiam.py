# SimSiam in the study of the claims (docs/claims.md), minutes on one CPU core; with the
# numbers that tuning chose kNN goes from 0.20 to 0.30, with ER to 0.42.
#
#     python tools/studies/arrays.py cifar10 data/cifar10   # once: the images as arrays
#     python tools/train.py configs/studies/simsiam.py --amp \
#         --cfg-options optim_wrapper.optimizer.lr=4e-3
#     python tools/train.py configs/studies/simsiam.py --amp --objective er \
#         --cfg-options optim_wrapper.optimizer.lr=4e-3 model.head.kappa=5
#
_base_ = ['../_base_/methods/simsiam.py', '../_base_/settings/study.py']

model = dict(
    backbone=_base_._backbone,
    neck=dict(hidden_channels=512, out_channels=512),
    predictor=dict(hidden_channels=128),
    data_preprocessor=dict(_base_._pixels, views='cifar'))
