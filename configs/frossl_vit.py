# FroSSL on the digits, a small ViT; times on one CPU core.
#
#     python tools/train.py configs/frossl_vit.py                 # 2 min, kNN 0.45 to 0.84
#     python tools/train.py configs/frossl_vit.py --objective er  # 2 min, kNN 0.45 to 0.91
#
# 128 dimensions, which a batch of 64 images does not fill: the spectrum is that of the images.
_base_ = ['./_base_/methods/frossl.py', './_base_/settings/digits_vit.py']

model = dict(
    backbone=_base_._backbone,
    neck=dict(hidden_channels=512, out_channels=128),
    data_preprocessor=dict(_base_._pixels, views='gentle'))
