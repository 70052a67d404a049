# DINO on CIFAR-10, ResNet-18; for a GPU.
#
#     python tools/train.py configs/cifar10/dino_resnet18.py --amp
#
_base_ = ['../_base_/methods/dino.py', '../_base_/datasets/cifar10.py',
          '../_base_/schedules/lars.py', '../_base_/runtime.py']

model = dict(
    backbone={{_base_._resnet18}},
    neck=dict(num_prototypes=4096),
    teacher=dict(momentum=0.99),
    data_preprocessor={{_base_._multicrop}})

schedules = dict(weight_decay=None)  # that one is for AdamW
optim_wrapper = dict(optimizer=dict(lr=1.0 * 512 / 256))
train_cfg = dict(max_epochs=200)
