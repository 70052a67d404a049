# SimSiam on the digits, a small ViT; times on one CPU core.
#
#     python tools/train.py configs/simsiam_vit.py                 # 2 min, kNN 0.45 to 0.80
#     python tools/train.py configs/simsiam_vit.py --objective er  # 2 min, kNN 0.45 to 0.89
#
# At the learning rate of the others (0.001), with a predictor that narrows to 128 channels, its own
# objective collapses with some seeds.
_base_ = ['./_base_/methods/simsiam.py', './_base_/settings/digits_vit.py']

model = dict(
    backbone=_base_._backbone,
    neck=dict(hidden_channels=512, out_channels=512),
    predictor=dict(hidden_channels=512),
    data_preprocessor=dict(_base_._pixels, views='gentle'))

optim_wrapper = dict(optimizer=dict(lr=3e-4))
