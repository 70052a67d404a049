# SimCLR on 10,000 images of CIFAR-10, a small ResNet; times on one CPU core.
#
#     python tools/train.py configs/cifar10/simclr_small.py                # 4 min, kNN 0.20 to 0.32
#     python tools/train.py configs/cifar10/simclr_small.py --objective er # 4 min, kNN 0.20 to 0.32
#
_base_ = ['../_base_/methods/simclr.py', '../_base_/settings/cifar10_small.py']

model = dict(
    backbone=_base_._backbone,
    neck=dict(hidden_channels=512, out_channels=128),
    data_preprocessor=dict(_base_._pixels, views='cifar'))
