# What all methods share in the study of the paper's claims: a small ResNet, for minutes on one
# CPU core.
_base_ = ['../backbones/resnet_study.py', '../datasets/study.py', '../schedules/adamw.py',
          '../runtime.py']

optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = dict(warmup_epochs=1)
train_cfg = dict(max_epochs=6)
