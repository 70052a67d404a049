# As any run, measured more often: epochs of the digits have 22 steps, and measuring costs little.
_base_ = ['./runtime.py']

default_hooks = dict(information=dict(interval=5))
