# DINO in the study of the claims (docs/claims.md), minutes on one CPU core. Its EMA coefficient and
# temperatures are constant. No BatchNorm ends the projector: it would leave nothing to the centre.
#
#     python tools/train.py configs/studies/dino.py --amp
#     python tools/train.py configs/studies/dino.py --amp --objective er
#
_base_ = ['../_base_/methods/dino.py', '../_base_/settings/study.py']

_sharper = dict(teacher_temp=0.02)
model = dict(
    backbone=_base_._backbone,
    neck=dict(
        projector=dict(
            hidden_channels=512, out_channels=32, norm='batch'),
        num_prototypes=256),
    head=dict(assigner=_sharper),
    data_preprocessor=dict(_base_._pixels, views='cifar'))
er_head = dict(assigner=_sharper)
schedules = dict(
    teacher_momentum=None, teacher_temp=None, weight_decay=None, frozen=dict(epochs=0.2))
