# MoCo v3 + ER on the digits: mocov3_vit.py with the objective swapped.
#
#     python tools/train.py configs/mocov3_er_vit.py
#
_base_ = ['./mocov3_vit.py']

model = dict(head={{_base_.er_head}})
