# NNCLR on the digits, a small ViT.
# On one CPU core about 4 minutes, kNN 0.44 to 0.87.
#
#     python tools/train.py configs/nnclr_vit.py
#
_base_ = ['./_base_/methods/nnclr.py', './_base_/datasets/digits.py',
          './_base_/schedules/adamw.py', './_base_/digits_runtime.py']

model = dict(
    backbone={{_base_._vit}},
    neck=dict(hidden_channels=512, out_channels=128),
    predictor=dict(hidden_channels=512),
    head=dict(target=dict(queue_size=1024)),
    data_preprocessor=dict(views='gentle', size=32))

er_head = dict(target=dict(queue_size=1024))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_epochs=20)
