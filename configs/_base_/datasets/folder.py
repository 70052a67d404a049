# One's own folder of images, given by --data FOLDER; labels by --labels.
train_dataloader = dict(
    dataset=dict(type='ImageFolder', root='data/images'),
    batch_size=256,  # over all processes
    num_workers=2)  # of each process

# kNN comes with --labels. Evaluators that need no labels go here, as in
# evaluation = dict(evaluators=dict(information=dict(type='Information')), interval=10)
evaluation = dict()
