# CMC + ER on CIFAR-10: cmc_resnet18.py with the objective swapped.
#
#     python tools/train.py configs/cifar10/cmc_er_resnet18.py --amp
#
_base_ = ['./cmc_resnet18.py']

model = dict(head={{_base_.er_head}})
