"""Operations of views, one a file, each with its draw and its two forms."""

from mvssl.views.ops.base import Drawn, Image, Operation, RandomOperation
from mvssl.views.ops.blur import GaussianBlur
from mvssl.views.ops.color_jitter import ColorJitter
from mvssl.views.ops.crop import RandomResizedCrop
from mvssl.views.ops.flip import HorizontalFlip
from mvssl.views.ops.gray import Grayscale
from mvssl.views.ops.mmcv_op import MMCVOp
from mvssl.views.ops.quarter_turns import QuarterTurns
from mvssl.views.ops.solarize import Solarize
from mvssl.views.ops.torchvision_op import TorchvisionOp
from mvssl.views.ops.vertical_flip import VerticalFlip

__all__ = [
    "ColorJitter",
    "Drawn",
    "GaussianBlur",
    "Grayscale",
    "HorizontalFlip",
    "Image",
    "MMCVOp",
    "Operation",
    "QuarterTurns",
    "RandomOperation",
    "RandomResizedCrop",
    "Solarize",
    "TorchvisionOp",
    "VerticalFlip",
]
