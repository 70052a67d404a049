"""Operations of views, one a file, each with its draw and its two forms."""

from mvssl.views.ops.base import Drawn, Image, Operation, RandomOperation
from mvssl.views.ops.blur import GaussianBlur
from mvssl.views.ops.color_jitter import ColorJitter
from mvssl.views.ops.crop import RandomResizedCrop
from mvssl.views.ops.erasing import ChannelDropout, RandomErasing
from mvssl.views.ops.flip import HorizontalFlip
from mvssl.views.ops.gamma import RandomGamma
from mvssl.views.ops.gray import Grayscale
from mvssl.views.ops.mmcv_op import MMCVOp
from mvssl.views.ops.noise import GaussianNoise
from mvssl.views.ops.quarter_turns import QuarterTurns
from mvssl.views.ops.solarize import Solarize
from mvssl.views.ops.torchvision_op import TorchvisionOp
from mvssl.views.ops.vertical_flip import VerticalFlip
from mvssl.views.ops.warp import RandomAffine, RandomPerspective

__all__ = [
    "ChannelDropout",
    "ColorJitter",
    "Drawn",
    "GaussianBlur",
    "GaussianNoise",
    "Grayscale",
    "HorizontalFlip",
    "Image",
    "MMCVOp",
    "Operation",
    "QuarterTurns",
    "RandomAffine",
    "RandomErasing",
    "RandomGamma",
    "RandomOperation",
    "RandomPerspective",
    "RandomResizedCrop",
    "Solarize",
    "TorchvisionOp",
    "VerticalFlip",
]
