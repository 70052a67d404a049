# Instance recognition on the digits, a small ViT; times on one CPU core.
#
#     python tools/train.py configs/ir_vit.py                 # 1 min, kNN 0.45 to 0.89
#     python tools/train.py configs/ir_vit.py --objective er  # 1 min, kNN 0.45 to 0.89
#
_base_ = ['./_base_/methods/ir.py', './_base_/settings/digits_vit.py']

model = dict(
    backbone=_base_._backbone,
    # An untrained ViT embeds all images nearly alike; BatchNorm spreads them.
    neck=dict(num_layers=2, hidden_channels=512, last_norm='batch'),
    head=dict(num_negatives=512),
    data_preprocessor=dict(_base_._pixels, views='gentle_one'))
