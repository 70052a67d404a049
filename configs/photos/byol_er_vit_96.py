# The small sibling of byol_er_vit.py, which a CPU can run: 96 pixels, a ViT of 0.9 M parameters.
#
#     python tools/train.py configs/photos/byol_er_vit_96.py --data FOLDER
#
_base_ = ['../_base_/methods/byol.py', '../_base_/datasets/folder.py',
          '../_base_/schedules/adamw.py', '../_base_/runtime.py']

_size = 96
model = dict(
    backbone=dict(
        type='TimmBackbone',
        name='vit_tiny_patch16_224',
        model_args=dict(img_size=_size, patch_size=16, embed_dim=128, depth=4, num_heads=4)),
    neck=dict(hidden_channels=512, out_channels=128),
    predictor=dict(hidden_channels=512),
    head=_base_.er_head,
    data_preprocessor=dict(size=_size, engine='host'))

train_dataloader = dict(batch_size=64)
