# DINO, ResNet-50, 400 epochs at batch 4096, after Rodríguez-Gálvez et al. (ICML 2023).
#
#     bash tools/dist_train.sh configs/imagenet/dino_resnet50.py 8 --amp
#
# Not run here. About 500 GPU-hours of an A100, estimated from the network's training speed;
# give train_cfg.micro_batch_size where a GPU's share of the batch does not fit.
_base_ = ['../_base_/methods/dino.py', '../_base_/datasets/imagenet.py',
          '../_base_/schedules/lars.py', '../_base_/runtime.py']

model = dict(
    backbone=dict(type='TimmBackbone', name='resnet50'),
    # Crops for convolutional networks are smaller.
    data_preprocessor=dict(views='dino_conv', size=224))

schedules = dict(
    teacher_temp=None,  # DINO's command for a ResNet-50 leaves it at 0.04
    weight_decay=None)  # that one is for AdamW
