# The small sibling of byol_er_vit.py, which a CPU can run: 96 pixels, a ViT of 0.9 M parameters.
#
#     python tools/train.py configs/photos/byol_er_vit_96.py --data FOLDER
#
_base_ = ['./byol_small.py']

model = dict(head=_base_.er_head)
