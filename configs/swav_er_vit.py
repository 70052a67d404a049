# SwAV + ER on the digits: swav_vit.py with the objective swapped.
#
#     python tools/train.py configs/swav_er_vit.py
#
_base_ = ['./swav_vit.py']

model = dict(head={{_base_.er_head}})
