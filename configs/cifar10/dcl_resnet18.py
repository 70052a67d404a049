# DCL on CIFAR-10, ResNet-18; for a GPU.
#
#     python tools/train.py configs/cifar10/dcl_resnet18.py --amp
#     python tools/train.py configs/cifar10/dcl_resnet18.py --amp --objective er
#
_base_ = ['../_base_/methods/dcl.py', '../_base_/settings/cifar10_resnet18.py']

model = dict(
    backbone=_base_._backbone,
    data_preprocessor=dict(_base_._pixels, views='cifar'))
