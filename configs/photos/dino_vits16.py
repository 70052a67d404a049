# DINO on one's own photographs, ViT-S/16 at 224 pixels; for a GPU (--amp).
#
#     python tools/train.py configs/photos/dino_vits16.py --data FOLDER
#     python tools/train.py configs/photos/dino_vits16.py --data FOLDER --objective er
#
# 107 GFLOP an image, forward and backward.
_base_ = ['../_base_/methods/dino.py', '../_base_/settings/photos_vits16.py']

model = dict(
    backbone=_base_._multicrop,
    data_preprocessor=_base_._pixels)

optim_wrapper = dict(optimizer=dict(weight_decay=0.04), clip_grad=dict(max_norm=3.0))
