# DINO + ER on CIFAR-10: dino_resnet18.py with the objective swapped.
#
#     python tools/train.py configs/cifar10/dino_er_resnet18.py --amp
#
_base_ = ['./dino_resnet18.py']

model = dict(head={{_base_.er_head}})
