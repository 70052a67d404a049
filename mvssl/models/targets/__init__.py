"""What predictions are compared with: other views, their mean or neighbours, or a memory."""

from mvssl.models.targets.bank import BankTargets
from mvssl.models.targets.base import TargetSource
from mvssl.models.targets.mean import MeanTargets
from mvssl.models.targets.neighbors import NearestNeighborTargets
from mvssl.models.targets.views import ViewTargets

__all__ = ["BankTargets", "MeanTargets", "NearestNeighborTargets", "TargetSource", "ViewTargets"]
