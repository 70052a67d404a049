# CMC on CIFAR-10, ResNet-18; for a GPU. A network for L and one for ab.
#
#     python tools/train.py configs/cifar10/cmc_resnet18.py --amp
#
_base_ = ['../_base_/methods/cmc.py', '../_base_/datasets/cifar10.py',
          '../_base_/schedules/lars.py', '../_base_/runtime.py']

model = dict(
    backbone=dict(
        type='SplitBackbone',
        parts=[
            dict(
                type='TimmBackbone', name='resnet18', stem='cifar',
                model_args=dict(in_chans=in_chans))
            for in_chans in (1, 2)]),
    data_preprocessor={{_base_._lab_views}})

optim_wrapper = dict(optimizer=dict(lr=1.0 * 512 / 256))
train_cfg = dict(max_epochs=200)
