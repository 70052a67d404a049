# A ResNet of 1.2 M parameters for images of 32 pixels, for a CPU: half of a ResNet-18's width and
# depth, and a stem of three 3x3 convolutions.
_backbone = dict(
    type='TimmBackbone', name='resnet18',
    model_args=dict(
        layers=(1, 1, 1, 1), channels=(32, 64, 128, 256), stem_type='deep', stem_width=16))
