# scikit-learn's 1,797 handwritten digits: 1,437 to train on, 360 held out.
train_dataloader = dict(
    dataset=dict(type='Digits', split='train', size=32),
    batch_size=64,  # over all processes
    num_workers=0)

# Labels serve for this measurement alone.
evaluation = dict(
    train=dict(type='Digits', split='train', size=32),
    test=dict(type='Digits', split='test', size=32),
    evaluators=dict(knn=dict(type='KNN', k=20, temperature=0.07)),
    interval=5)  # epochs

# A small backbone for them, 0.8 M parameters, which takes views of several sizes.
_vit = dict(
    type='TimmBackbone',
    name='vit_tiny_patch16_224',
    model_args=dict(
        img_size=32, patch_size=8, embed_dim=128, depth=4, num_heads=4, dynamic_img_size=True))
