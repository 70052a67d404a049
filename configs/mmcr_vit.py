# MMCR on the digits, a small ViT; times on one CPU core.
#
#     python tools/train.py configs/mmcr_vit.py                 # 1 min, kNN 0.45 to 0.91
#     python tools/train.py configs/mmcr_vit.py --objective er  # 1 min, kNN 0.45 to 0.91
#
# 128 dimensions, so that the 64 images of a batch, and not the dimensions, bound the rank.
_base_ = ['./_base_/methods/mmcr.py', './_base_/settings/digits_vit.py']

model = dict(
    backbone=_base_._backbone,
    neck=dict(hidden_channels=512, out_channels=128),
    data_preprocessor=dict(_base_._pixels, views='gentle'))
