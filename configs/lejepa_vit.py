# LeJEPA on the digits, a small ViT; times on one CPU core.
#
#     python tools/train.py configs/lejepa_vit.py                 # 3 min, kNN 0.45 to 0.93
#     python tools/train.py configs/lejepa_vit.py --objective er  # 4 min, kNN 0.45 to 0.91
#
_base_ = ['./_base_/methods/lejepa.py', './_base_/settings/digits_vit.py']

model = dict(
    backbone=_base_._backbone,
    neck=dict(hidden_channels=512, out_channels=128),
    data_preprocessor=dict(_base_._pixels, views='gentle_multicrop'))
