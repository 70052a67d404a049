# A ViT of 0.9 M parameters for images of 96 pixels.
_backbone = dict(
    type='TimmBackbone',
    name='vit_tiny_patch16_224',
    model_args=dict(img_size=96, patch_size=16, embed_dim=128, depth=4, num_heads=4))
