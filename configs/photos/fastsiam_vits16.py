# FastSiam on one's own photographs, ViT-S/16 at 224 pixels; for a GPU (--amp).
#
#     python tools/train.py configs/photos/fastsiam_vits16.py --data FOLDER
#     python tools/train.py configs/photos/fastsiam_vits16.py --data FOLDER --objective er
#
_base_ = ['../_base_/methods/fastsiam.py', '../_base_/settings/photos_vits16.py']

model = dict(
    backbone=_base_._backbone,
    data_preprocessor=_base_._pixels)
