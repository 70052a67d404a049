# FastSiam on the digits, a small ViT; times on one CPU core.
#
#     python tools/train.py configs/fastsiam_vit.py                 # 3 min, kNN 0.45 to 0.86
#     python tools/train.py configs/fastsiam_vit.py --objective er  # 3 min, kNN 0.45 to 0.91
#
# Four views: twice the time of SimSiam at as many epochs. Nothing else differs from SimSiam's.
_base_ = ['./_base_/methods/fastsiam.py', './_base_/settings/digits_vit.py']

model = dict(
    backbone=_base_._backbone,
    neck=dict(hidden_channels=512, out_channels=512),
    predictor=dict(hidden_channels=512),
    data_preprocessor=dict(_base_._pixels, views=dict(type='gentle')))

optim_wrapper = dict(optimizer=dict(lr=3e-4))
