# Instance recognition on CIFAR-10, ResNet-18; for a GPU.
#
#     python tools/train.py configs/cifar10/ir_resnet18.py --amp
#
_base_ = ['../_base_/methods/ir.py', '../_base_/datasets/cifar10.py',
          '../_base_/schedules/lars.py', '../_base_/runtime.py']

model = dict(
    backbone={{_base_._resnet18}},
    data_preprocessor={{_base_._one_view}})

optim_wrapper = dict(optimizer=dict(lr=1.0 * 512 / 256))
train_cfg = dict(max_epochs=200)
