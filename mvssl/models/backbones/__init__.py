"""Backbones: normalised images (N, in_channels, s, s) to pooled features (N, C)."""

from mvssl.models.backbones.base import Backbone
from mvssl.models.backbones.export import describe_backbone, save_backbone
from mvssl.models.backbones.opening import Which, load_backbone
from mvssl.models.backbones.own import import_modules
from mvssl.models.backbones.split_backbone import SplitBackbone
from mvssl.models.backbones.timm_backbone import TimmBackbone

__all__ = [
    "Backbone",
    "SplitBackbone",
    "TimmBackbone",
    "Which",
    "describe_backbone",
    "import_modules",
    "load_backbone",
    "save_backbone",
]
