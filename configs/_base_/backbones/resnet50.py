# ResNet-50.
_backbone = dict(type='TimmBackbone', name='resnet50')
