# SimCLR + ER on the digits: simclr_vit.py with the objective swapped.
#
#     python tools/train.py configs/simclr_er_vit.py
#
_base_ = ['./simclr_vit.py']

model = dict(head={{_base_.er_head}})
