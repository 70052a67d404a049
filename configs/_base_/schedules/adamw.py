# AdamW, linear warm-up, one cosine.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='DecayGroups',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05))
param_scheduler = dict(type='WarmupCosineLR', warmup_epochs=5)
train_cfg = dict(max_epochs=100)
# With --batch-size the rate follows in proportion.
auto_scale_lr = dict(rule='linear')
