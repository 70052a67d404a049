# BYOL + ER on CIFAR-10: byol_resnet18.py with the objective swapped.
#
#     python tools/train.py configs/cifar10/byol_er_resnet18.py --amp
#
_base_ = ['./byol_resnet18.py']

model = dict(head={{_base_.er_head}})
