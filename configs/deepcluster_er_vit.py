# DeepCluster + ER on the digits: deepcluster_vit.py with the objective swapped.
#
#     python tools/train.py configs/deepcluster_er_vit.py
#
_base_ = ['./deepcluster_vit.py']

model = dict(head={{_base_.er_head}})
