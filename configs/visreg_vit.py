# VISReg on the digits, a small ViT; times on one CPU core.
#
#     python tools/train.py configs/visreg_vit.py                 # 2 min, kNN 0.44 to 0.91
#     python tools/train.py configs/visreg_vit.py --objective er
#
# Six views, hence half the epochs, as for LeJEPA; the regulariser has half of the weight.
_base_ = ['./_base_/methods/visreg.py', './_base_/settings/digits_vit.py']

model = dict(
    backbone=_base_._backbone,
    neck=dict(hidden_channels=512, out_channels=128),
    data_preprocessor=dict(_base_._pixels, views='gentle_multicrop'))

train_cfg = dict(max_epochs=10)
