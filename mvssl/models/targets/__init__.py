"""What predictions are compared with: another view, its nearest neighbour, or a memory."""

from mvssl.models.targets.bank import BankTargets
from mvssl.models.targets.base import TargetSource
from mvssl.models.targets.neighbors import NearestNeighborTargets
from mvssl.models.targets.views import ViewTargets

__all__ = ["BankTargets", "NearestNeighborTargets", "TargetSource", "ViewTargets"]
