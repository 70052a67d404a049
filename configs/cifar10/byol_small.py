# BYOL on 10,000 images of CIFAR-10, a small ResNet; times on one CPU core.
#
#     python tools/train.py configs/cifar10/byol_small.py                 # 5 min, kNN 0.20 to 0.27
#     python tools/train.py configs/cifar10/byol_small.py --objective er  # 5 min, kNN 0.20 to 0.30
#
_base_ = ['../_base_/methods/byol.py', '../_base_/settings/cifar10_small.py']

model = dict(
    backbone=_base_._backbone,
    neck=dict(hidden_channels=512, out_channels=128),
    predictor=dict(hidden_channels=512),
    teacher=dict(momentum=0.9),
    data_preprocessor=dict(_base_._pixels, views='cifar'))
