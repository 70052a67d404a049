# BYOL + ER: byol_resnet50.py with the objective swapped. It costs the same; not run here.
#
#     bash tools/dist_train.sh configs/imagenet/byol_er_resnet50.py 8 --amp
#
_base_ = ['./byol_resnet50.py']

model = dict(head={{_base_.er_head}})
