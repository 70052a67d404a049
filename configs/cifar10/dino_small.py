# DINO with DINOv2's Sinkhorn centring on 10,000 images of CIFAR-10, a small ResNet; times on one
# CPU core.
#
#     python tools/train.py configs/cifar10/dino_small.py                 # 3 min, kNN 0.20 to 0.27
#     python tools/train.py configs/cifar10/dino_small.py --objective er  # 5 min, kNN 0.20 to 0.25
#
_base_ = ['../_base_/methods/dino.py', '../_base_/settings/cifar10_small.py']

model = dict(
    backbone=_base_._backbone,
    # As on the digits: few channels, spread by BatchNorm, Sinkhorn in the centre's place, and
    # neither EMA coefficient nor temperature on a schedule.
    neck=dict(
        projector=dict(
            hidden_channels=512, out_channels=32, norm='batch', last_norm='batch'),
        num_prototypes=128),
    teacher=dict(momentum=0.9),
    head=dict(assigner=dict(_delete_=True, type='Sinkhorn', epsilon=0.03)),
    data_preprocessor=dict(_base_._pixels, views='cifar'))

er_head = dict(assigner=dict(teacher_temp=0.02))
schedules = dict(teacher_momentum=None, teacher_temp=None, frozen=dict(epochs=0.2))
