# SwAV on the digits, a small ViT; times on one CPU core. At the paper's epsilon of
# 0.05, or with 128 channels, all rows stay uniform: the loss stays at the log of the number of
# prototypes.
#
#     python tools/train.py configs/swav_vit.py                 # 1 min, kNN 0.45 to 0.83
#     python tools/train.py configs/swav_vit.py --objective er  # 1 min, kNN 0.45 to 0.77
#
_base_ = ['./_base_/methods/swav.py', './_base_/settings/digits_vit.py']

_num_prototypes = 64
model = dict(
    backbone=_base_._backbone,
    # An untrained ViT embeds all images nearly alike; BatchNorm spreads them.
    neck=dict(hidden_channels=512, out_channels=32, last_norm='batch'),
    head=dict(assigner=dict(epsilon=0.03), num_prototypes=_num_prototypes, queue_size=512),
    data_preprocessor=dict(_base_._pixels, views='gentle'))

er_head = dict(
    num_prototypes=_num_prototypes,
    assigner=dict(type='Sharpening', teacher_temp=0.02))
schedules = dict(use_queue=dict(epochs=10))
