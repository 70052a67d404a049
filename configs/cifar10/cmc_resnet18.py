# CMC on CIFAR-10, ResNet-18; for a GPU. A network for L and one for ab.
#
#     python tools/train.py configs/cifar10/cmc_resnet18.py --amp
#     python tools/train.py configs/cifar10/cmc_resnet18.py --amp --objective er
#
_base_ = ['../_base_/methods/cmc.py', '../_base_/settings/cifar10_resnet18.py']

model = dict(
    backbone=dict(
        type='SplitBackbone',
        parts=[
            dict(_base_._backbone, model_args=dict(in_chans=in_chans))
            for in_chans in (1, 2)]),
    data_preprocessor=dict(size=_base_._pixels.size))
