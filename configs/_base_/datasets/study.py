# Arrays that tools/studies/arrays.py writes: 20,000 training images of 32 pixels, 1,000 of each
# class of them to look neighbours up in, and 10,000 held-out ones.
_pixels = dict(  # for model.data_preprocessor
    size=32, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))
train_dataloader = dict(
    # Labels are for the probe alone.
    dataset=dict(
        type='ArrayImages', images='data/studies/cifar10/train.npy',
        labels='data/studies/cifar10/train_labels.npy'),
    batch_size=256,
    num_workers=0)
evaluation = dict(
    train=dict(
        type='ArrayImages', images='data/studies/cifar10/bank.npy',
        labels='data/studies/cifar10/bank_labels.npy'),
    test=dict(
        type='ArrayImages', images='data/studies/cifar10/test.npy',
        labels='data/studies/cifar10/test_labels.npy'),
    evaluators=dict(
        knn=dict(type='KNN', k=20, temperature=0.07),
        online=dict(type='OnlineProbe'),
        information=dict(type='Information', images=2048)),
    interval=2,  # epochs
    num_workers=0)
