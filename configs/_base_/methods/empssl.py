# EMP-SSL (Tong et al. 2023): many small views near their mean, and a high coding rate.
model = dict(
    type='MultiView',
    neck=dict(type='MLP', hidden_channels=4096, out_channels=512),
    head=dict(
        type='ViewsHead', loss=dict(type='EMPSSLLoss', distortion=0.2, invariance=200.0)),
    data_preprocessor=dict(
        type='MultiViewPreprocessor',
        views=dict(type='simclr', num_views=20),
        view_options=dict(crop_scale=(0.25, 0.25))))

# As SimCLR's.
er_head = dict(
    _delete_=True,
    type='ERHead',
    kappa=10.0,
    estimator='loo',
    target=dict(type='ViewTargets', stop_gradient=False))
