# BYOL on the digits, a small ViT: the twin of byol_er_vit.py without ER.
#
#     python tools/train.py configs/byol_vit.py
#
# Learning rate and EMA are the best for BYOL of a grid (README); ER takes the same.
_base_ = ['./_base_/methods/byol.py', './_base_/datasets/digits.py',
          './_base_/schedules/adamw.py', './_base_/digits_runtime.py']

model = dict(
    backbone=dict(
        type='TimmBackbone',
        name='vit_tiny_patch16_224',
        model_args=dict(img_size=32, patch_size=8, embed_dim=128, depth=4, num_heads=4)),
    neck=dict(hidden_channels=512, out_channels=128),
    predictor=dict(hidden_channels=512),
    teacher=dict(momentum=0.9),
    data_preprocessor=dict(views='gentle', size=32))

optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_epochs=30)
