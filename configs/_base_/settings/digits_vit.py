# What all methods share on the digits with a small ViT.
_base_ = ['../backbones/vit_mini.py', '../datasets/digits.py', '../schedules/adamw.py',
          '../runtime.py']

train_cfg = dict(max_epochs=20)
# An epoch has 22 steps, and measuring costs little.
default_hooks = dict(information=dict(interval=5))
