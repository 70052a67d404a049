# ReSSL on the digits, a small ViT.
# On one CPU core about 2 minutes, kNN 0.44 to 0.70.
#
#     python tools/train.py configs/ressl_vit.py
#
_base_ = ['./_base_/methods/ressl.py', './_base_/datasets/digits.py',
          './_base_/schedules/adamw.py', './_base_/digits_runtime.py']

model = dict(
    backbone={{_base_._vit}},
    # An untrained ViT embeds all images nearly alike; BatchNorm spreads them.
    neck=dict(hidden_channels=512, out_channels=128, last_norm='batch'),
    teacher=dict(momentum=0.9),
    head=dict(queue_size=1024),
    data_preprocessor=dict(views='gentle', size=32))

optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_epochs=20)
