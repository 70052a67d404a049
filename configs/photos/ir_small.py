# Instance recognition on one's own photographs, a ViT of 0.9 M parameters at 96 pixels; for a CPU.
#
#     python tools/train.py configs/photos/ir_small.py --data FOLDER
#     python tools/train.py configs/photos/ir_small.py --data FOLDER --objective er
#
# 0.19 GFLOP an image, forward and backward.
_base_ = ['../_base_/methods/ir.py', '../_base_/settings/photos_small.py']

model = dict(
    backbone=_base_._backbone,
    neck=dict(num_layers=2, hidden_channels=512, last_norm='batch'),
    head=dict(num_negatives=1024),
    data_preprocessor=_base_._pixels)
