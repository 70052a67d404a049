# DeepCluster on CIFAR-10, ResNet-18; for a GPU.
#
#     python tools/train.py configs/cifar10/deepcluster_resnet18.py --amp
#     python tools/train.py configs/cifar10/deepcluster_resnet18.py --amp --objective er
#
_base_ = ['../_base_/methods/deepcluster.py', '../_base_/settings/cifar10_resnet18.py']

model = dict(
    backbone=_base_._backbone,
    neck=dict(hidden_channels=2048, out_channels=512),
    head=dict(num_clusters=1000),
    data_preprocessor=dict(_base_._pixels, views='cifar_one'))

er_head = dict(num_prototypes=1000)
