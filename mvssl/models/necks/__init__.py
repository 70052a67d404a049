"""Necks: features to projections; predictors are necks as well."""

from mvssl.models.necks.base import Neck
from mvssl.models.necks.mlp import MLP
from mvssl.models.necks.prototype import PrototypeNeck

__all__ = ["MLP", "Neck", "PrototypeNeck"]
