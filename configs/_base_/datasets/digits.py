# scikit-learn's 1,797 handwritten digits: 1,437 to train on, 360 held out.
_pixels = dict(size=32)  # for model.data_preprocessor
_digits = dict(type='Digits', size=_pixels['size'])
train_dataloader = dict(
    dataset=dict(_digits, split='train'),
    batch_size=64,  # over all processes
    num_workers=0)

# Labels serve for this measurement alone.
evaluation = dict(
    train=dict(_digits, split='train'),
    test=dict(_digits, split='test'),
    evaluators=dict(knn=dict(type='KNN', k=20, temperature=0.07)),
    interval=5)  # epochs
