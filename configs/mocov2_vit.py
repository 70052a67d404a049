# MoCo v2 on the digits, a small ViT; times on one CPU core.
#
#     python tools/train.py configs/mocov2_vit.py                 # 1 min, kNN 0.45 to 0.85
#     python tools/train.py configs/mocov2_vit.py --objective er  # 1 min, kNN 0.45 to 0.89
#
_base_ = ['./_base_/methods/mocov2.py', './_base_/settings/digits_vit.py']

model = dict(
    backbone=_base_._backbone,
    # An untrained ViT embeds all images nearly alike; BatchNorm spreads them.
    neck=dict(hidden_channels=512, out_channels=128, norm='batch', last_norm='batch'),
    teacher=dict(momentum=0.9, shuffle_groups=2),
    head=dict(queue_size=1024),
    data_preprocessor=dict(_base_._pixels, views='gentle'))
