# DINO, ResNet-50, 400 epochs at batch 4096, after Rodríguez-Gálvez et al. (ICML 2023).
#
#     bash tools/dist_train.sh configs/imagenet/dino_resnet50.py 8 --amp
#     bash tools/dist_train.sh configs/imagenet/dino_resnet50.py 8 --amp --objective er
#
# Not run here. About 500 GPU-hours of an A100, with ER as without, estimated from the network's
# training speed; give train_cfg.micro_batch_size where a GPU's share of the batch does not fit.
_base_ = ['../_base_/methods/dino.py', '../_base_/backbones/resnet50.py',
          '../_base_/datasets/imagenet.py', '../_base_/schedules/lars.py', '../_base_/runtime.py']

model = dict(
    backbone=_base_._backbone,
    # Crops for convolutional networks are smaller.
    data_preprocessor=dict(_base_._pixels, views='dino_conv'))

schedules = dict(
    teacher_temp=None,  # DINO's command for a ResNet-50 leaves it at 0.04
    weight_decay=None)  # that one is for AdamW
