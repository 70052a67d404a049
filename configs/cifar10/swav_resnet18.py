# SwAV on CIFAR-10, ResNet-18; for a GPU.
#
#     python tools/train.py configs/cifar10/swav_resnet18.py --amp
#     python tools/train.py configs/cifar10/swav_resnet18.py --amp --objective er
#
_base_ = ['../_base_/methods/swav.py', '../_base_/settings/cifar10_resnet18.py']

_num_prototypes = 1000
model = dict(
    backbone=_base_._backbone,
    head=dict(num_prototypes=_num_prototypes, queue_size=4096),
    data_preprocessor=dict(_base_._pixels, views='cifar_multicrop'))

er_head = dict(num_prototypes=_num_prototypes)
