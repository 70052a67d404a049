# Instance recognition on the digits, a small ViT.
# On one CPU core about 1 minute, kNN 0.44 to 0.84.
#
#     python tools/train.py configs/ir_vit.py
#
_base_ = ['./_base_/methods/ir.py', './_base_/datasets/digits.py',
          './_base_/schedules/adamw.py', './_base_/digits_runtime.py']

model = dict(
    backbone={{_base_._vit}},
    # An untrained ViT embeds all images nearly alike; BatchNorm spreads them.
    neck=dict(num_layers=2, hidden_channels=512, last_norm='batch'),
    head=dict(num_negatives=512),
    data_preprocessor=dict(views='gentle_one', size=32))

optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_epochs=20)
