# SimSiam + ER on CIFAR-10: simsiam_resnet18.py with the objective swapped.
#
#     python tools/train.py configs/cifar10/simsiam_er_resnet18.py --amp
#
_base_ = ['./simsiam_resnet18.py']

model = dict(head={{_base_.er_head}})
