# DINO on 10,000 images of CIFAR-10, a small ResNet; for a CPU.
#
#     python tools/train.py configs/cifar10/dino_small.py
#
_base_ = ['../_base_/methods/dino.py', '../_base_/datasets/cifar10.py',
          '../_base_/schedules/adamw.py', '../_base_/runtime.py']

model = dict(
    backbone={{_base_._small}},
    # As on the digits: few channels, spread by BatchNorm, and a sharp teacher.
    neck=dict(
        projector=dict(
            hidden_channels=512, out_channels=32, norm='batch', last_norm='batch'),
        num_prototypes=128),
    teacher=dict(momentum=0.9),
    head=dict(assigner=dict(teacher_temp=0.02)),
    data_preprocessor={{_base_._two_views}})

er_head = dict(assigner=dict(teacher_temp=0.02))
schedules = dict(teacher_temp=dict(end=0.04, epochs=2), frozen=dict(epochs=0.2))
train_dataloader = dict(dataset=dict(per_class=1000), batch_size=128, num_workers=0)
evaluation = dict(
    train=dict(per_class=1000), test=dict(per_class=300), interval=100, num_workers=0)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = dict(warmup_epochs=1)
train_cfg = dict(max_epochs=4)
