# DINO on the digits, a small ViT.
# On one CPU core about 3 minutes, kNN 0.44 to 0.56.
#
#     python tools/train.py configs/dino_vit.py
#
_base_ = ['./_base_/methods/dino.py', './_base_/datasets/digits.py',
          './_base_/schedules/adamw.py', './_base_/digits_runtime.py']

model = dict(
    backbone={{_base_._vit}},
    # An untrained ViT embeds all images nearly alike; BatchNorm spreads them.
    neck=dict(
        projector=dict(
            hidden_channels=512, out_channels=32, norm='batch', last_norm='batch'),
        num_prototypes=64),
    teacher=dict(momentum=0.9),
    # Logits of 32 channels and 64 prototypes need a sharper teacher, or all rows stay uniform.
    head=dict(assigner=dict(teacher_temp=0.02)),
    data_preprocessor=dict(views='gentle', size=32))

# 64 images fill 64 prototypes only if all differ, so the entropy counts half.
er_head = dict(entropy_weight=0.5, assigner=dict(teacher_temp=0.02))
schedules = dict(teacher_temp=dict(end=0.04, epochs=10))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_cfg = dict(max_epochs=20)
