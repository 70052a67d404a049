# What all methods share on one's own photographs with a ResNet-50, 224 pixels; for a GPU.
_base_ = ['../backbones/resnet50.py', '../datasets/folder.py', '../schedules/lars.py',
          '../runtime.py']

_pixels = dict(size=224, engine='host')  # for model.data_preprocessor
optim_wrapper = dict(optimizer=dict(lr=0.3))  # for batches of 256
train_cfg = dict(max_epochs=100)
