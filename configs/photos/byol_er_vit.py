# BYOL + ER on one's own photographs, ViT-S/16 at 224 pixels.
#
#     python tools/train.py configs/photos/byol_er_vit.py --data FOLDER
#
# For a GPU (--amp; train_cfg.micro_batch_size where memory is short).
# Without one: byol_er_vit_96.py.
_base_ = ['../_base_/methods/byol.py', '../_base_/backbones/vit_small.py',
          '../_base_/datasets/folder.py', '../_base_/schedules/adamw.py', '../_base_/runtime.py']

model = dict(
    backbone=dict(_base_._backbone, model_args=dict(drop_path_rate=0.1)),
    head=_base_.er_head,
    data_preprocessor=dict(size=224, engine='host'))

optim_wrapper = dict(optimizer=dict(lr=5e-4, weight_decay=0.1))
param_scheduler = dict(warmup_epochs=10)
