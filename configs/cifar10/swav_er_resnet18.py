# SwAV + ER on CIFAR-10: swav_resnet18.py with the objective swapped.
#
#     python tools/train.py configs/cifar10/swav_er_resnet18.py --amp
#
_base_ = ['./swav_resnet18.py']

model = dict(head={{_base_.er_head}})
