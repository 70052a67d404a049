# What all methods share on one's own photographs with a ViT-S/16, 224 pixels; for a GPU.
_base_ = ['../backbones/vit_small.py', '../datasets/folder.py', '../schedules/adamw.py',
          '../runtime.py']

_pixels = dict(size=224, engine='host')  # for model.data_preprocessor
_backbone = dict(model_args=dict(drop_path_rate=0.1))
# For methods with crops of two sizes.
_multicrop = dict(
    _base_._backbone, model_args=dict(drop_path_rate=0.1, dynamic_img_size=True))
optim_wrapper = dict(optimizer=dict(lr=5e-4, weight_decay=0.1))
param_scheduler = dict(warmup_epochs=10)
