# A ViT of 0.8 M parameters for images of 32 pixels, which takes views of several sizes.
_backbone = dict(
    type='TimmBackbone',
    name='vit_tiny_patch16_224',
    model_args=dict(
        img_size=32, patch_size=8, embed_dim=128, depth=4, num_heads=4, dynamic_img_size=True))
