# DINO on the digits, a small ViT.
#
#     python tools/train.py configs/dino_vit.py
#
_base_ = ['./_base_/methods/dino.py', './_base_/datasets/digits.py',
          './_base_/schedules/adamw.py', './_base_/runtime.py']

model = dict(
    backbone={{_base_._vit}},
    neck=dict(projector=dict(hidden_channels=512, out_channels=128), num_prototypes=256),
    teacher=dict(momentum=0.99),
    data_preprocessor=dict(views='gentle_multicrop', size=32))

schedules = dict(teacher_temp=dict(epochs=10))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_epochs=20)
