# What all methods share on CIFAR-10 with a ResNet-18; for a GPU.
_base_ = ['../backbones/resnet18.py', '../datasets/cifar10.py', '../schedules/lars.py',
          '../runtime.py']

optim_wrapper = dict(optimizer=dict(lr=1.0 * _base_.train_dataloader.batch_size / 256))
train_cfg = dict(max_epochs=200)
