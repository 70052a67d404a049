# VICReg + ER on CIFAR-10: vicreg_resnet18.py with the objective swapped.
#
#     python tools/train.py configs/cifar10/vicreg_er_resnet18.py --amp
#
_base_ = ['./vicreg_resnet18.py']

model = dict(head={{_base_.er_head}})
