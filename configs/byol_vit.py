# BYOL on the digits, a small ViT; times on one CPU core.
#
#     python tools/train.py configs/byol_vit.py                 # 2 min, kNN 0.45 to 0.74
#     python tools/train.py configs/byol_vit.py --objective er  # 2 min, kNN 0.45 to 0.94
#
_base_ = ['./_base_/methods/byol.py', './_base_/settings/digits_vit.py']

# Learning rate and EMA are the best for BYOL of a grid (docs/methods.md); ER takes the same.
model = dict(
    backbone=_base_._backbone,
    neck=dict(hidden_channels=512, out_channels=128),
    predictor=dict(hidden_channels=512),
    teacher=dict(momentum=0.9),
    data_preprocessor=dict(_base_._pixels, views='gentle'))

train_cfg = dict(max_epochs=30)
