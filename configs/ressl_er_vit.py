# ReSSL + ER on the digits: ressl_vit.py with the objective swapped.
#
#     python tools/train.py configs/ressl_er_vit.py
#
_base_ = ['./ressl_vit.py']

model = dict(head={{_base_.er_head}})
