# A ResNet-18 for images of 32 pixels, whose stem keeps them all.
_backbone = dict(type='TimmBackbone', name='resnet18', stem='cifar')
