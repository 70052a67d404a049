# SimCLR + ER on CIFAR-10: simclr_resnet18.py with the objective swapped.
#
#     python tools/train.py configs/cifar10/simclr_er_resnet18.py --amp
#
_base_ = ['./simclr_resnet18.py']

model = dict(head={{_base_.er_head}})
