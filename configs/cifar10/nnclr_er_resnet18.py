# NNCLR + ER on CIFAR-10: nnclr_resnet18.py with the objective swapped.
#
#     python tools/train.py configs/cifar10/nnclr_er_resnet18.py --amp
#
_base_ = ['./nnclr_resnet18.py']

model = dict(head={{_base_.er_head}})
