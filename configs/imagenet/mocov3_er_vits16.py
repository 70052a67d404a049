# MoCo v3 + ER: mocov3_vits16.py with the objective swapped. It costs the same; not run here.
#
#     bash tools/dist_train.sh configs/imagenet/mocov3_er_vits16.py 8 --amp
#
_base_ = ['./mocov3_vits16.py']

model = dict(head={{_base_.er_head}})
