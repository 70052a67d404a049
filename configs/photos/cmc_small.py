# CMC on one's own photographs, a ViT of 0.9 M parameters at 96 pixels; for a CPU.
#
#     python tools/train.py configs/photos/cmc_small.py --data FOLDER
#     python tools/train.py configs/photos/cmc_small.py --data FOLDER --objective er
#
# 0.37 GFLOP an image, forward and backward.
_base_ = ['../_base_/methods/cmc.py', '../_base_/settings/photos_small.py']

model = dict(
    # A network for L and one for ab.
    backbone=dict(
        type='SplitBackbone',
        parts=[
            dict(_base_._backbone, model_args=dict(_base_._backbone.model_args, in_chans=in_chans))
            for in_chans in (1, 2)]),
    neck=dict(num_layers=2, hidden_channels=512, last_norm='batch'),
    head=dict(loss=dict(temperature=0.2)),  # 0.07 is too sharp for batches of 64
    data_preprocessor=_base_._pixels)
