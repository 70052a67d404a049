# NNCLR + ER on the digits: nnclr_vit.py with the objective swapped.
#
#     python tools/train.py configs/nnclr_er_vit.py
#
_base_ = ['./nnclr_vit.py']

model = dict(head={{_base_.er_head}})
