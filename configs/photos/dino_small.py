# DINO on one's own photographs, a ViT of 0.9 M parameters at 96 pixels; for a CPU.
#
#     python tools/train.py configs/photos/dino_small.py --data FOLDER
#     python tools/train.py configs/photos/dino_small.py --data FOLDER --objective er
#
# 0.62 GFLOP an image, forward and backward.
_base_ = ['../_base_/methods/dino.py', '../_base_/settings/photos_small.py']

# A small network needs a sharper teacher, or all rows stay uniform.
_sharper = dict(teacher_temp=0.02)
model = dict(
    backbone=_base_._multicrop,
    neck=dict(
        projector=dict(
            hidden_channels=512, out_channels=32, norm='batch', last_norm='batch'),
        num_prototypes=128),
    teacher=dict(momentum=0.99),
    head=dict(assigner=_sharper),
    data_preprocessor=dict(_base_._pixels, views=dict(_delete_=True, type='dino', num_local=2)))

er_head = dict(assigner=_sharper)
schedules = dict(teacher_temp=dict(end=0.04))
optim_wrapper = dict(optimizer=dict(weight_decay=0.04), clip_grad=dict(max_norm=3.0))
