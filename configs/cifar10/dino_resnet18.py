# DINO on CIFAR-10, ResNet-18; for a GPU.
#
#     python tools/train.py configs/cifar10/dino_resnet18.py --amp
#     python tools/train.py configs/cifar10/dino_resnet18.py --amp --objective er
#
_base_ = ['../_base_/methods/dino.py', '../_base_/settings/cifar10_resnet18.py']

model = dict(
    backbone=_base_._backbone,
    neck=dict(num_prototypes=4096),
    teacher=dict(momentum=0.99),
    data_preprocessor=dict(_base_._pixels, views='cifar_multicrop'))

schedules = dict(weight_decay=None)  # that one is for AdamW
