# DeepCluster + ER on CIFAR-10: deepcluster_resnet18.py with the objective swapped.
#
#     python tools/train.py configs/cifar10/deepcluster_er_resnet18.py --amp
#
_base_ = ['./deepcluster_resnet18.py']

model = dict(head={{_base_.er_head}})
