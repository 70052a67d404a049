# LeJEPA + ER on CIFAR-10: lejepa_resnet18.py with the objective swapped.
#
#     python tools/train.py configs/cifar10/lejepa_er_resnet18.py --amp
#
_base_ = ['./lejepa_resnet18.py']

model = dict(head={{_base_.er_head}})
