# BYOL + ER with an EMA coefficient that starts at 0.8. It costs what
# byol_er_resnet50.py costs; not run here.
#
#     bash tools/dist_train.sh configs/imagenet/byol_er_resnet50_ema08.py 8 --amp
#
_base_ = ['./byol_er_resnet50.py']

model = dict(teacher=dict(momentum=0.8))
