# NNCLR on one's own photographs, a ViT of 0.9 M parameters at 96 pixels; for a CPU.
#
#     python tools/train.py configs/photos/nnclr_small.py --data FOLDER
#     python tools/train.py configs/photos/nnclr_small.py --data FOLDER --objective er
#
# 0.38 GFLOP an image, forward and backward.
_base_ = ['../_base_/methods/nnclr.py', '../_base_/settings/photos_small.py']

_neighbors = dict(queue_size=4096)
model = dict(
    backbone=_base_._backbone,
    neck=dict(hidden_channels=512, out_channels=128),
    predictor=dict(hidden_channels=512),
    head=dict(target=_neighbors),
    data_preprocessor=_base_._pixels)

er_head = dict(target=_neighbors)
