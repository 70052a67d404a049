# What all methods share on 10,000 images of CIFAR-10 with a small ResNet; for a CPU.
_base_ = ['../backbones/resnet_mini.py', '../datasets/cifar10.py', '../schedules/adamw.py',
          '../runtime.py']

_fewer = dict(per_class=1000)
train_dataloader = dict(dataset=_fewer, batch_size=128, num_workers=0)
evaluation = dict(train=_fewer, test=dict(per_class=300), interval=100, num_workers=0)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = dict(warmup_epochs=1)
train_cfg = dict(max_epochs=4)
