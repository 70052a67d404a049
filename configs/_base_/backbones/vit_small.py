# ViT-S/16 for images of 224 pixels.
_backbone = dict(type='TimmBackbone', name='vit_small_patch16_224')
