# SwAV on 10,000 images of CIFAR-10, a small ResNet; times on one CPU core.
#
#     python tools/train.py configs/cifar10/swav_small.py                 # 3 min, kNN 0.20 to 0.26
#     python tools/train.py configs/cifar10/swav_small.py --objective er  # 3 min, kNN 0.20 to 0.25
#
_base_ = ['../_base_/methods/swav.py', '../_base_/settings/cifar10_small.py']

_num_prototypes = 128
model = dict(
    backbone=_base_._backbone,
    # As on the digits: few channels, spread by BatchNorm, and sharp assignments.
    neck=dict(hidden_channels=512, out_channels=32, last_norm='batch'),
    head=dict(assigner=dict(epsilon=0.03), num_prototypes=_num_prototypes, queue_size=1024),
    data_preprocessor=dict(_base_._pixels, views='cifar'))

er_head = dict(num_prototypes=_num_prototypes, assigner=dict(teacher_temp=0.04))
schedules = dict(use_queue=dict(epochs=2), frozen=dict(epochs=0.2))
