# LARS, linear warm-up, one cosine: what ResNets at large batches are trained with.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='DecayGroups',
    optimizer=dict(type='LARS', lr=0.3 * 4096 / 256, momentum=0.9, weight_decay=1e-6))
param_scheduler = dict(type='WarmupCosineLR', warmup_epochs=10)
train_cfg = dict(max_epochs=400)
# With --batch-size the rate follows in proportion.
auto_scale_lr = dict(rule='linear')
