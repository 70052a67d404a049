# MoCo v2 + ER on CIFAR-10: mocov2_resnet18.py with the objective swapped.
#
#     python tools/train.py configs/cifar10/mocov2_er_resnet18.py --amp
#
_base_ = ['./mocov2_resnet18.py']

model = dict(head={{_base_.er_head}})
