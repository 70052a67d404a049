# ReSSL + ER on CIFAR-10: ressl_resnet18.py with the objective swapped.
#
#     python tools/train.py configs/cifar10/ressl_er_resnet18.py --amp
#
_base_ = ['./ressl_resnet18.py']

model = dict(head={{_base_.er_head}})
