# CMC on one's own photographs, ViT-S/16 at 224 pixels; for a GPU (--amp).
#
#     python tools/train.py configs/photos/cmc_vits16.py --data FOLDER
#     python tools/train.py configs/photos/cmc_vits16.py --data FOLDER --objective er
#
# 50 GFLOP an image, forward and backward.
_base_ = ['../_base_/methods/cmc.py', '../_base_/settings/photos_vits16.py']

model = dict(
    # A network for L and one for ab.
    backbone=dict(
        type='SplitBackbone',
        parts=[
            dict(_base_._backbone, model_args=dict(drop_path_rate=0.1, in_chans=in_chans))
            for in_chans in (1, 2)]),
    data_preprocessor=_base_._pixels)
