# MoCo v2 on CIFAR-10, ResNet-18; for a GPU.
#
#     python tools/train.py configs/cifar10/mocov2_resnet18.py --amp
#     python tools/train.py configs/cifar10/mocov2_resnet18.py --amp --objective er
#
_base_ = ['../_base_/methods/mocov2.py', '../_base_/settings/cifar10_resnet18.py']

model = dict(
    backbone=_base_._backbone,
    teacher=dict(momentum=0.99),
    head=dict(queue_size=4096),
    data_preprocessor=dict(_base_._pixels, views='cifar'))
