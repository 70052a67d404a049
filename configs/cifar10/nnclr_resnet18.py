# NNCLR on CIFAR-10, ResNet-18; for a GPU.
#
#     python tools/train.py configs/cifar10/nnclr_resnet18.py --amp
#     python tools/train.py configs/cifar10/nnclr_resnet18.py --amp --objective er
#
_base_ = ['../_base_/methods/nnclr.py', '../_base_/settings/cifar10_resnet18.py']

_neighbors = dict(queue_size=32768)
model = dict(
    backbone=_base_._backbone,
    head=dict(target=_neighbors),
    data_preprocessor=dict(_base_._pixels, views='cifar'))

er_head = dict(target=_neighbors)
