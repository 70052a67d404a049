# NNCLR on the digits, a small ViT; times on one CPU core.
#
#     python tools/train.py configs/nnclr_vit.py                 # 2 min, kNN 0.45 to 0.87
#     python tools/train.py configs/nnclr_vit.py --objective er  # 2 min, kNN 0.45 to 0.88
#
_base_ = ['./_base_/methods/nnclr.py', './_base_/settings/digits_vit.py']

_neighbors = dict(queue_size=1024)
model = dict(
    backbone=_base_._backbone,
    neck=dict(hidden_channels=512, out_channels=128),
    predictor=dict(hidden_channels=512),
    head=dict(target=_neighbors),
    data_preprocessor=dict(_base_._pixels, views='gentle'))

er_head = dict(target=_neighbors)
