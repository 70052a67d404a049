# ImageNet-1k as a folder of images: data/imagenet/{train,val}/<class>/*.JPEG. Images are cut to
# 256 pixels square, from which views are drawn on the GPU; the papers draw them from whole images.
_folder = dict(type='ImageFolder', root='data/imagenet', labels=True)
train_dataloader = dict(
    dataset=dict(_folder, split='train', size=256),
    batch_size=4096,  # over all processes
    num_workers=12)  # of each process

# Labels serve for this measurement alone.
evaluation = dict(
    train=dict(_folder, split='train', size=224, crop_pct=0.875),
    test=dict(_folder, split='test', size=224, crop_pct=0.875),
    evaluators=dict(knn=dict(type='KNN', k=20, temperature=0.07)),
    interval=50,  # epochs
    num_workers=12)
