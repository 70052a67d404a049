# MoCo v3 + ER on CIFAR-10: mocov3_resnet18.py with the objective swapped.
#
#     python tools/train.py configs/cifar10/mocov3_er_resnet18.py --amp
#
_base_ = ['./mocov3_resnet18.py']

model = dict(head={{_base_.er_head}})
