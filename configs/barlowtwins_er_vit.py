# Barlow Twins + ER on the digits: barlowtwins_vit.py with the objective swapped.
#
#     python tools/train.py configs/barlowtwins_er_vit.py
#
_base_ = ['./barlowtwins_vit.py']

model = dict(head={{_base_.er_head}})
