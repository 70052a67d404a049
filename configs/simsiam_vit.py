# SimSiam on the digits, a small ViT.
# On one CPU core about 2 minutes, kNN 0.44 to 0.63.
#
#     python tools/train.py configs/simsiam_vit.py
#
_base_ = ['./_base_/methods/simsiam.py', './_base_/datasets/digits.py',
          './_base_/schedules/adamw.py', './_base_/digits_runtime.py']

model = dict(
    backbone={{_base_._vit}},
    neck=dict(hidden_channels=512, out_channels=512),
    predictor=dict(hidden_channels=128),
    data_preprocessor=dict(views='gentle', size=32))

optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_epochs=20)
