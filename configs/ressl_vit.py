# ReSSL on the digits, a small ViT; times on one CPU core.
#
#     python tools/train.py configs/ressl_vit.py                 # 2 min, kNN 0.45 to 0.85
#     python tools/train.py configs/ressl_vit.py --objective er  # 2 min, kNN 0.45 to 0.90
#
_base_ = ['./_base_/methods/ressl.py', './_base_/settings/digits_vit.py']

model = dict(
    backbone=_base_._backbone,
    # An untrained ViT embeds all images nearly alike; BatchNorm spreads them.
    neck=dict(hidden_channels=512, out_channels=128, last_norm='batch'),
    teacher=dict(momentum=0.9),
    head=dict(queue_size=1024),
    # Weak for the teacher, as in the paper.
    data_preprocessor=dict(_base_._pixels, views='gentle_weak_strong'))
