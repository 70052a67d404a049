# DINO + ER on the digits: dino_vit.py with the objective swapped.
#
#     python tools/train.py configs/dino_er_vit.py
#
_base_ = ['./dino_vit.py']

model = dict(head={{_base_.er_head}})
