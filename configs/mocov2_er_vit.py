# MoCo v2 + ER on the digits: mocov2_vit.py with the objective swapped.
#
#     python tools/train.py configs/mocov2_er_vit.py
#
_base_ = ['./mocov2_vit.py']

model = dict(head={{_base_.er_head}})
