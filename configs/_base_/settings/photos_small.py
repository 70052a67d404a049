# What all methods share where one tries them on one's own photographs with a ViT of 0.9 M
# parameters, 96 pixels; for a CPU.
_base_ = ['../backbones/vit_mini_96.py', '../datasets/folder.py', '../schedules/adamw.py',
          '../runtime.py']

_pixels = dict(size=96, engine='host')  # for model.data_preprocessor
# For methods with crops of two sizes.
_multicrop = dict(
    _base_._backbone, model_args=dict(_base_._backbone.model_args, dynamic_img_size=True))
train_dataloader = dict(batch_size=64)
