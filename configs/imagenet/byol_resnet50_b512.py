# BYOL at batch 512, the learning rate in proportion. It costs what
# byol_resnet50.py costs; not run here.
#
#     bash tools/dist_train.sh configs/imagenet/byol_resnet50_b512.py 8 --amp
#     bash tools/dist_train.sh configs/imagenet/byol_resnet50_b512.py 8 --amp --objective er
#
_base_ = ['./byol_resnet50.py']

_batch_size = 512
_share = _batch_size / _base_.train_dataloader.batch_size
train_dataloader = dict(batch_size=_batch_size)
optim_wrapper = dict(optimizer=dict(lr=_base_.optim_wrapper.optimizer.lr * _share))
