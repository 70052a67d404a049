"""Finds the clusters that DeepCluster's heads classify, before each epoch."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook

from mvssl.engine.loaders import EpochSampler
from mvssl.errors import UserError
from mvssl.evaluation.features import still_projections
from mvssl.models.heads import ClusteringHead
from mvssl.registry import HOOKS

__all__ = ["ClusteringHook"]


@HOOKS.register_module()
class ClusteringHook(Hook):
    """Clusters the images of the data set before each epoch where the head is a ``ClusteringHead``;
    does nothing for others.

    Where the head asks for it, every image is embedded first, without augmentation and in
    evaluation mode. The optimiser forgets parameters that the head draws anew, and the sampler
    draws uniformly over clusters where the head wants that. Adds to the scalars what
    :meth:`ClusteringHead.cluster` reports.

    Args:
        batch_size: images that each process embeds at once.
    """

    # Before the sampler is told the epoch, and hooks that look at the scalars.
    priority = "ABOVE_NORMAL"

    def __init__(self, batch_size: int = 256) -> None:
        if batch_size < 1:
            raise UserError(f"ClusteringHook: batch_size is at least 1, got {batch_size}.")
        self.batch_size = batch_size

    def before_train(self, runner: Any) -> None:
        head = runner.plain_model.head
        if isinstance(head, ClusteringHead):
            listed = ", ".join(f"{k:,}" for k in head.num_clusters)
            runner.console_message(
                f"clusters         {head.num_samples:,} images into {listed}, before each epoch"
            )

    def before_train_epoch(self, runner: Any) -> None:
        head = runner.plain_model.head
        if not isinstance(head, ClusteringHead):
            return
        loader = runner.train_dataloader
        if head.is_due(runner.epoch):
            share = None
            if head.wants_embeddings:
                share = still_projections(
                    runner.plain_model, loader.dataset, self.batch_size, loader.num_workers
                )
            runner.scalars.add(head.cluster(runner.epoch, share))
            for parameter in head.renewed:
                runner.optim_wrapper.optimizer.state.pop(parameter, None)
        if head.balanced and isinstance(loader.sampler, EpochSampler):
            loader.sampler.balance(head.assignments[0])
