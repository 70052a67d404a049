# DINO on one's own photographs, ResNet-50 at 224 pixels; for a GPU (--amp).
#
#     python tools/train.py configs/photos/dino_resnet50.py --data FOLDER
#     python tools/train.py configs/photos/dino_resnet50.py --data FOLDER --objective er
#
# 102 GFLOP an image, forward and backward.
_base_ = ['../_base_/methods/dino.py', '../_base_/settings/photos_resnet50.py']

model = dict(
    backbone=_base_._backbone,
    data_preprocessor=dict(_base_._pixels, views='dino_conv'))

schedules = dict(
    teacher_temp=None,  # DINO's command for a ResNet-50 leaves it at 0.04
    weight_decay=None)  # that one is for AdamW
