# DINO on 10,000 images of CIFAR-10, a small ResNet; times on one CPU core.
#
#     python tools/train.py configs/cifar10/dino_small.py                 # 3 min, kNN 0.20 to 0.22
#     python tools/train.py configs/cifar10/dino_small.py --objective er  # 5 min, kNN 0.20 to 0.22
#
_base_ = ['../_base_/methods/dino.py', '../_base_/settings/cifar10_small.py']

_sharper = dict(teacher_temp=0.02)
model = dict(
    backbone=_base_._backbone,
    # As on the digits: few channels, spread by BatchNorm, and a sharp teacher.
    neck=dict(
        projector=dict(
            hidden_channels=512, out_channels=32, norm='batch', last_norm='batch'),
        num_prototypes=128),
    teacher=dict(momentum=0.9),
    head=dict(assigner=_sharper),
    data_preprocessor=dict(_base_._pixels, views='cifar'))

er_head = dict(assigner=_sharper)
schedules = dict(teacher_temp=dict(end=0.04, epochs=2), frozen=dict(epochs=0.2))
