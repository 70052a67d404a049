# DINO at batch 512, the learning rate in proportion. It costs what
# dino_resnet50.py costs; not run here.
#
#     bash tools/dist_train.sh configs/imagenet/dino_resnet50_b512.py 8 --amp
#
_base_ = ['./dino_resnet50.py']

train_dataloader = dict(batch_size=512)
optim_wrapper = dict(optimizer=dict(lr=0.3 * 512 / 256))
