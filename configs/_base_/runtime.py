# How a run is carried out, whatever the method and the data.
default_scope = 'mvssl'

default_hooks = dict(
    runtime_info=dict(type='RunInfoHook'),
    timer=None,
    sampler_seed=dict(type='DistSamplerSeedHook'),
    logger=None,
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', interval=10, interval_minutes=10, max_keep_ckpts=2),
    clustering=dict(type='ClusteringHook'),
    teacher=dict(type='TeacherHook'),
    freeze=dict(type='FreezeHook'),
    information=dict(type='InformationHook', interval=50, kappa=10.0),
    scalars=dict(type='ScalarsHook', interval=10),
    doctor=dict(type='DoctorHook'),
    data_faults=dict(type='DataFaultHook'),
    progress=dict(type='ProgressHook'),
)

visualizer = dict(type='Visualizer', vis_backends=[dict(type='TensorboardVisBackend')])
log_level = 'INFO'
