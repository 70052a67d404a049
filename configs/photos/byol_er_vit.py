# BYOL + ER on one's own photographs, ViT-S/16 at 224 pixels: byol_vits16.py with its er_head.
#
#     python tools/train.py configs/photos/byol_er_vit.py --data FOLDER
#
# For a GPU (--amp; train_cfg.micro_batch_size where memory is short).
# Without one: byol_er_vit_96.py.
_base_ = ['./byol_vits16.py']

model = dict(head=_base_.er_head)
