"""Heads: one record to a dict of losses and scalars. The objective is swapped here."""

from mvssl.models.heads.assignment import AssignmentHead, DiscreteERHead
from mvssl.models.heads.base import Head, view_pairs
from mvssl.models.heads.clustering import ClusteringHead
from mvssl.models.heads.contrast import InstanceHead, MoCoHead, RelationHead
from mvssl.models.heads.deepcluster import DeepClusterHead, DeepClusterV2Head
from mvssl.models.heads.er import ERHead
from mvssl.models.heads.lejepa import LeJEPAHead
from mvssl.models.heads.measures import measure, measure_discrete, measure_geometry
from mvssl.models.heads.memory import EmbeddingQueue, MemoryBank
from mvssl.models.heads.pair import JointHead, PairHead
from mvssl.models.heads.targets import (
    BankTargets,
    NearestNeighborTargets,
    TargetSource,
    ViewTargets,
)

__all__ = [
    "AssignmentHead",
    "BankTargets",
    "ClusteringHead",
    "DeepClusterHead",
    "DeepClusterV2Head",
    "DiscreteERHead",
    "ERHead",
    "EmbeddingQueue",
    "Head",
    "InstanceHead",
    "JointHead",
    "LeJEPAHead",
    "MemoryBank",
    "MoCoHead",
    "NearestNeighborTargets",
    "PairHead",
    "RelationHead",
    "TargetSource",
    "ViewTargets",
    "measure",
    "measure_discrete",
    "measure_geometry",
    "view_pairs",
]
