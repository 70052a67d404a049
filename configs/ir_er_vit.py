# Instance recognition + ER on the digits: ir_vit.py with the objective swapped.
#
#     python tools/train.py configs/ir_er_vit.py
#
_base_ = ['./ir_vit.py']

model = dict(head={{_base_.er_head}})
