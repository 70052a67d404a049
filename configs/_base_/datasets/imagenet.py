# ImageNet-1k as a folder of images: data/imagenet/{train,val}/<class>/*.JPEG. Images are cut to
# 256 pixels square, from which views are drawn on the GPU; the papers draw them from whole images.
_pixels = dict(size=224)  # for model.data_preprocessor
_folder = dict(type='ImageFolder', root='data/imagenet', labels=True)
_whole = dict(_folder, size=_pixels['size'], crop_pct=0.875)
_num_workers = 12  # of each process
train_dataloader = dict(
    dataset=dict(_folder, split='train', size=256),
    batch_size=4096,  # over all processes
    num_workers=_num_workers)

# Labels serve for this measurement alone.
evaluation = dict(
    train=dict(_whole, split='train'),
    test=dict(_whole, split='test'),
    evaluators=dict(knn=dict(type='KNN', k=20, temperature=0.07)),
    interval=50,  # epochs
    num_workers=_num_workers)
