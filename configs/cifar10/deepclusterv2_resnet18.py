# DeepCluster v2 on CIFAR-10, ResNet-18; for a GPU.
#
#     python tools/train.py configs/cifar10/deepclusterv2_resnet18.py --amp
#     python tools/train.py configs/cifar10/deepclusterv2_resnet18.py --amp --objective er
#
_base_ = ['../_base_/methods/deepclusterv2.py', '../_base_/settings/cifar10_resnet18.py']

model = dict(
    backbone=_base_._backbone,
    head=dict(num_clusters=[1000, 1000, 1000]),
    data_preprocessor=dict(_base_._pixels, views='cifar_multicrop'))

er_head = dict(num_prototypes=[1000, 1000, 1000])
