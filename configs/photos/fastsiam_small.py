# FastSiam on one's own photographs, a ViT of 0.9 M parameters at 96 pixels; for a CPU.
#
#     python tools/train.py configs/photos/fastsiam_small.py --data FOLDER
#     python tools/train.py configs/photos/fastsiam_small.py --data FOLDER --objective er
#
_base_ = ['../_base_/methods/fastsiam.py', '../_base_/settings/photos_small.py']

model = dict(
    backbone=_base_._backbone,
    neck=dict(hidden_channels=512, out_channels=512),
    predictor=dict(hidden_channels=128),
    data_preprocessor=_base_._pixels)
