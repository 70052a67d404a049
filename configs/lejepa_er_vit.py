# LeJEPA + ER on the digits: lejepa_vit.py with the objective swapped.
#
#     python tools/train.py configs/lejepa_er_vit.py
#
_base_ = ['./lejepa_vit.py']

model = dict(head={{_base_.er_head}})
