# CMC on the digits, a small ViT; times on one CPU core. The modalities are the image
# and its Sobel edges, since a grey image has no ab.
#
#     python tools/train.py configs/cmc_vit.py                 # 1 min, kNN 0.66 to 0.89
#     python tools/train.py configs/cmc_vit.py --objective er  # 2 min, kNN 0.66 to 0.91
#
_base_ = ['./_base_/methods/cmc.py', './_base_/settings/digits_vit.py']

model = dict(
    backbone=dict(
        type='SplitBackbone',
        parts=[
            dict(
                _base_._backbone,
                model_args=dict(
                    _base_._backbone.model_args, embed_dim=96, in_chans=in_chans))
            for in_chans in (1, 2)]),
    # An untrained ViT embeds all images nearly alike; BatchNorm spreads them.
    neck=dict(num_layers=2, hidden_channels=512, last_norm='batch'),
    head=dict(loss=dict(temperature=0.2)),  # 0.07 is too sharp for batches of 64
    data_preprocessor=dict(_base_._pixels, views='gentle_cmc', color_space='sobel'))
