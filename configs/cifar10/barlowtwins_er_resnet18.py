# Barlow Twins + ER on CIFAR-10: barlowtwins_resnet18.py with the objective swapped.
#
#     python tools/train.py configs/cifar10/barlowtwins_er_resnet18.py --amp
#
_base_ = ['./barlowtwins_resnet18.py']

model = dict(head={{_base_.er_head}})
