# CIFAR-10 as images of 32 pixels: any folder data/cifar10/{train,test}/<class>/*.{png,jpg} will do.
_pixels = dict(  # for model.data_preprocessor
    size=32, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))
_folder = dict(type='ImageFolder', root='data/cifar10', labels=True, size=_pixels['size'])
_num_workers = 4  # of each process
train_dataloader = dict(
    dataset=dict(_folder, split='train'),
    batch_size=512,  # over all processes
    num_workers=_num_workers)

# Labels serve for this measurement alone.
evaluation = dict(
    train=dict(_folder, split='train'),
    test=dict(_folder, split='test'),
    evaluators=dict(knn=dict(type='KNN', k=20, temperature=0.07)),
    interval=20,  # epochs
    num_workers=_num_workers)
