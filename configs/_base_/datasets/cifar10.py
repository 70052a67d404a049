# CIFAR-10 as images of 32 pixels: any folder data/cifar10/{train,test}/<class>/*.{png,jpg} will do.
_folder = dict(type='ImageFolder', root='data/cifar10', labels=True, size=32)
train_dataloader = dict(
    dataset=dict(_folder, split='train'),
    batch_size=512,  # over all processes
    num_workers=4)  # of each process

# Labels serve for this measurement alone.
evaluation = dict(
    train=dict(_folder, split='train'),
    test=dict(_folder, split='test'),
    evaluators=dict(knn=dict(type='KNN', k=20, temperature=0.07)),
    interval=20,  # epochs
    num_workers=4)

# A ResNet-18 whose stem keeps the 32 pixels.
_resnet18 = dict(type='TimmBackbone', name='resnet18', stem='cifar')

# Half of its width and depth, and the usual stem, which makes 8 x 8 of the 32 pixels at once: for
# a CPU.
_small = dict(
    type='TimmBackbone', name='resnet18',
    model_args=dict(layers=(1, 1, 1, 1), channels=(32, 64, 128, 256)))

# Views of SimCLR's appendix on CIFAR-10: half the colour strength of ImageNet's, and no blur.
_colors = dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, jitter_prob=0.8, gray=0.2)
_pixels = dict(size=32, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))
_one_view = dict(_pixels, views=[_colors])
_two_views = dict(_pixels, views=[_colors, _colors])
_weak_and_strong = dict(_pixels, views=[dict(crop_scale=(0.2, 1.0)), _colors])
_multicrop = dict(
    _pixels,
    views=[dict(_colors, crop_scale=(0.3, 1.0)) for _ in range(2)]
    + [dict(_colors, crop_scale=(0.1, 0.3), size=16) for _ in range(4)])
# L and ab of one crop.
_lab_views = dict(
    size=32,
    views=[
        dict(crop_scale=(0.2, 1.0), channels=(0,)),
        dict(crop_scale=(0.2, 1.0), channels=(1, 2), draw_as=0)])
