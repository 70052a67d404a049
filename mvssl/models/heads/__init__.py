"""Heads: one record to a dict of losses and scalars. The objective is swapped here."""

from mvssl.models.heads.assignment import AssignmentHead
from mvssl.models.heads.base import Head, TargetedHead
from mvssl.models.heads.contrast import InstanceHead, MoCoHead, RelationHead
from mvssl.models.heads.discrete_er import DiscreteERHead
from mvssl.models.heads.er import ERHead
from mvssl.models.heads.lejepa import LeJEPAHead
from mvssl.models.heads.pair import JointHead, PairHead

__all__ = [
    "AssignmentHead",
    "DiscreteERHead",
    "ERHead",
    "Head",
    "InstanceHead",
    "JointHead",
    "LeJEPAHead",
    "MoCoHead",
    "PairHead",
    "RelationHead",
    "TargetedHead",
]
