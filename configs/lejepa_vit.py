# LeJEPA on the digits, a small ViT; times on one CPU core.
#
#     python tools/train.py configs/lejepa_vit.py                 # 5 min, kNN 0.44 to 0.95
#     python tools/train.py configs/lejepa_vit.py --objective er  # 5 min, kNN 0.44 to 0.91
#
_base_ = ['./_base_/methods/lejepa.py', './_base_/settings/digits_vit.py']

model = dict(
    backbone=_base_._backbone,
    neck=dict(hidden_channels=512, out_channels=128),
    data_preprocessor=dict(_base_._pixels, views='gentle_multicrop'))
