"""What command lines and notebooks call."""

from mvssl.apis.options import TrainOptions
from mvssl.apis.train import train

__all__ = ["TrainOptions", "train"]
