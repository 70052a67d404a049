# Instance recognition + ER on CIFAR-10: ir_resnet18.py with the objective swapped.
#
#     python tools/train.py configs/cifar10/ir_er_resnet18.py --amp
#
_base_ = ['./ir_resnet18.py']

model = dict(head={{_base_.er_head}})
