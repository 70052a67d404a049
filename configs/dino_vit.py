# DINO on the digits, a small ViT; times on one CPU core.
#
#     python tools/train.py configs/dino_vit.py                 # 3 min, kNN 0.44 to 0.56
#     python tools/train.py configs/dino_vit.py --objective er  # 3 min, kNN 0.44 to 0.62
#
_base_ = ['./_base_/methods/dino.py', './_base_/settings/digits_vit.py']

# Logits of 32 channels and 64 prototypes need a sharper teacher, or all rows stay uniform.
_sharper = dict(teacher_temp=0.02)
model = dict(
    backbone=_base_._backbone,
    # An untrained ViT embeds all images nearly alike; BatchNorm spreads them.
    neck=dict(
        projector=dict(
            hidden_channels=512, out_channels=32, norm='batch', last_norm='batch'),
        num_prototypes=64),
    teacher=dict(momentum=0.9),
    head=dict(assigner=_sharper),
    data_preprocessor=dict(_base_._pixels, views='gentle'))

# 64 images fill 64 prototypes only if all differ, so the entropy counts half.
er_head = dict(entropy_weight=0.5, assigner=_sharper)
schedules = dict(teacher_temp=dict(end=0.04, epochs=10))
