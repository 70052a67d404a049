# DeepCluster v2 + ER on the digits: deepclusterv2_vit.py with the objective swapped.
#
#     python tools/train.py configs/deepclusterv2_er_vit.py
#
_base_ = ['./deepclusterv2_vit.py']

model = dict(head={{_base_.er_head}})
