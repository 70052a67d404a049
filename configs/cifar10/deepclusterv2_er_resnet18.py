# DeepCluster v2 + ER on CIFAR-10: deepclusterv2_resnet18.py with the objective swapped.
#
#     python tools/train.py configs/cifar10/deepclusterv2_er_resnet18.py --amp
#
_base_ = ['./deepclusterv2_resnet18.py']

model = dict(head={{_base_.er_head}})
