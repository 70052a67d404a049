# EMP-SSL on the digits, a small ViT; times on one CPU core.
#
#     python tools/train.py configs/empssl_vit.py                 # 1 min, kNN 0.45 to 0.78
#     python tools/train.py configs/empssl_vit.py --objective er  # 1 min, kNN 0.45 to 0.73
#
# Four views, twice those of other methods, hence half the epochs; crops are of a quarter of the
# area, as in the paper.
_base_ = ['./_base_/methods/empssl.py', './_base_/settings/digits_vit.py']

model = dict(
    backbone=_base_._backbone,
    neck=dict(hidden_channels=512, out_channels=128),
    data_preprocessor=dict(_base_._pixels, views=dict(type='gentle', num_views=4)))

train_cfg = dict(max_epochs=10)
