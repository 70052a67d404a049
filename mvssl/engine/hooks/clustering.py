"""Finds the clusters that DeepCluster's heads classify, before each epoch."""

from __future__ import annotations

import itertools

import torch
from mmengine.hooks import Hook
from torch import Tensor

from mvssl.arguments import check_count
from mvssl.engine.agreement import StopAskedError
from mvssl.engine.hooks.stop import stop_between_epochs
from mvssl.engine.loaders import EpochSampler
from mvssl.engine.run import Run
from mvssl.evaluation.features import still_projections
from mvssl.models.clustering import ClusteringHead
from mvssl.registry import HOOKS

__all__ = ["ClusteringHook"]

# Batches, after which a running mean (momentum 0.1) has all but forgotten its start.
WARM_UP = 50


@HOOKS.register_module()
class ClusteringHook(Hook):
    """Clusters the images of the data set where the head is a ``ClusteringHead``, before each epoch
    in which that is due; does nothing for other heads.

    Where the head asks for it, every image is embedded first, without augmentation and in
    evaluation mode; before the first time BatchNorm layers see some batches, as without statistics
    of the data they would leave the embeddings of all images nearly equal. The optimiser forgets
    parameters that the head draws anew, and the sampler draws uniformly over clusters where the
    head wants that. Adds to the scalars what :meth:`ClusteringHead.cluster` reports.

    Args:
        batch_size: images that each process embeds at once.
    """

    # Before the sampler is told the epoch, and hooks that look at the scalars.
    priority = "ABOVE_NORMAL"

    def __init__(self, batch_size: int = 256) -> None:
        check_count("ClusteringHook", batch_size=batch_size)
        self.batch_size = batch_size

    def before_train(self, runner: Run) -> None:
        head = runner.model.head
        if isinstance(head, ClusteringHead):
            listed = ", ".join(f"{k:,}" for k in head.num_clusters)
            often = "each epoch" if head.interval == 1 else f"every {head.interval} epochs"
            runner.console_message(
                f"clusters         {head.num_samples:,} images into {listed}, {often}"
            )

    def before_train_epoch(self, runner: Run) -> None:
        head = runner.model.head
        if not isinstance(head, ClusteringHead):
            return
        loader = runner.train_dataloader
        # What the epoch began with is in the head's buffers where a resumed run goes on within it.
        if head.is_due(runner.epoch) and not runner.train_loop.epoch_images:
            share = None
            if not bool(head.clustered):
                _warm_up_statistics(runner)
            if head.wants_embeddings:
                share = self._embed(runner)
            runner.scalars.add(head.cluster(runner.epoch, share))
            for parameter in head.renewed:
                runner.optim_wrapper.optimizer.state.pop(parameter, None)
                parameter.grad = None  # of accumulated steps, by the clusters before
        if head.balanced and isinstance(loader.sampler, EpochSampler):
            loader.sampler.balance(head.assignments[0])

    def _embed(self, runner: Run) -> Tensor:
        workers = runner.train_dataloader.num_workers
        try:
            return still_projections(
                runner.model, runner.train_set, self.batch_size, workers, runner.between_steps
            )
        except StopAskedError as asked:
            stop_between_epochs(runner, asked, runner.epoch)


@torch.no_grad()
def _warm_up_statistics(runner: Run) -> None:
    """Let BatchNorm layers see batches of the training data; nothing else changes."""
    model = runner.model
    model.train()
    for batch in itertools.islice(runner.train_dataloader, WARM_UP):
        # In the precision and the pieces of a training step.
        with runner.optim_wrapper.optim_context(runner.network):
            views = model.data_preprocessor(batch, True)["inputs"]
            size = runner.train_loop.micro_batch_size or len(views[0])
            for piece in zip(*(view.split(size) for view in views), strict=True):
                model.embed_student(list(piece))
