# DINO with an EMA coefficient that starts at 0.8. It costs what
# dino_resnet50.py costs; not run here.
#
#     bash tools/dist_train.sh configs/imagenet/dino_resnet50_ema08.py 8 --amp
#     bash tools/dist_train.sh configs/imagenet/dino_resnet50_ema08.py 8 --amp --objective er
#
_base_ = ['./dino_resnet50.py']

model = dict(teacher=dict(momentum=0.8))
