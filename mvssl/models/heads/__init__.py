"""Heads: one record to a dict of losses and scalars. The objective is swapped here."""

from mvssl.models.heads.assignment import AssignmentHead
from mvssl.models.heads.base import Head, TargetedHead
from mvssl.models.heads.contrast import InstanceHead, MoCoHead, RelationHead
from mvssl.models.heads.discrete_er import DiscreteERHead
from mvssl.models.heads.er import ERHead
from mvssl.models.heads.pair import JointHead, PairHead
from mvssl.models.heads.regularized import RegularizedHead
from mvssl.models.heads.views import ViewsHead

__all__ = [
    "AssignmentHead",
    "DiscreteERHead",
    "ERHead",
    "Head",
    "InstanceHead",
    "JointHead",
    "MoCoHead",
    "PairHead",
    "RegularizedHead",
    "RelationHead",
    "TargetedHead",
    "ViewsHead",
]
