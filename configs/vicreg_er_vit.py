# VICReg + ER on the digits: vicreg_vit.py with the objective swapped.
#
#     python tools/train.py configs/vicreg_er_vit.py
#
_base_ = ['./vicreg_vit.py']

model = dict(head={{_base_.er_head}})
