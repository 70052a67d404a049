"""The training loop: epochs, iterations, and one optimiser step from top to bottom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.runner import BaseLoop
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from mvssl.arguments import check_count
from mvssl.datasets.loading import watched_workers
from mvssl.distributed import average_gradients, is_distributed, world_size
from mvssl.engine.generators import seed_loader, set_generator_states
from mvssl.engine.loaders import EpochSampler
from mvssl.engine.micro_batch import (
    Piece,
    embed_pieces,
    join,
    pull,
    random_state,
    set_random_state,
)
from mvssl.engine.run import Observer, Run
from mvssl.engine.watch import Watch
from mvssl.errors import UserError
from mvssl.models import MultiView
from mvssl.models.multiview import Monitor
from mvssl.models.record import Embeddings
from mvssl.registry import LOOPS

__all__ = ["Embedder", "TrainLoop", "check_lengths", "distribute", "total_loss"]


class Embedder(nn.Module):
    """``model.embed`` with the parameters behind it: what is wrapped for several processes."""

    def __init__(self, model: MultiView) -> None:
        super().__init__()
        parts = [model.backbone, model.neck, model.predictor]
        self.parts = nn.ModuleList(part for part in parts if part is not None)
        # In a tuple, so that the head's parameters and the teacher's do not become this module's.
        self._model = (model,)

    def forward(self, views: list[Tensor], index: Tensor, targets: bool = True) -> Embeddings:
        return self._model[0].embed(views, index, targets)


def lay_channels_last(model: nn.Module) -> None:
    """Lay the weights of convolutions so that channels lie side by side, and with them what they
    are applied to: the layout in which processors of all kinds compute them fastest.

    The embedding of patches, which do not overlap, is a matrix product and gains nothing.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and any(
            kernel > step for kernel, step in zip(module.kernel_size, module.stride, strict=True)
        ):
            module.to(memory_format=torch.channels_last)


def distribute(model: MultiView, find_unused_parameters: bool = False) -> nn.Module:
    """The network of a model, wrapped in DDP where there are several processes."""
    network = Embedder(model)
    if not is_distributed():
        return network
    on_cpu = get_device() == "cpu"
    return DistributedDataParallel(
        network,
        device_ids=None if on_cpu else [torch.cuda.current_device()],
        broadcast_buffers=False,
        find_unused_parameters=find_unused_parameters,
    )


@LOOPS.base_class
@LOOPS.register_module()
class TrainLoop(BaseLoop):
    """Trains for a number of epochs.

    A step embeds the batch, lets the model's head turn the record into a loss, and moves the
    weights. With ``micro_batch_size`` the images pass through the network a few at a time; the
    gradient stays that of the whole batch, but for BatchNorm: its statistics are those of a piece,
    and its running statistics see every piece twice.

    Args:
        runner: whose loop it is.
        dataloader: of batches.
        max_epochs: epochs of the run.
        micro_batch_size: images of a process that pass through the network at once; None: all.

    Attributes:
        epoch, iter: how many are over.
        epoch_images: of the epoch that is not over, over all processes: how many were trained on.
            Before the first step of an epoch it is above 0 only in a run that was resumed within
            the epoch, which goes on with the rest of its images; a hook's ``before_train_epoch``
            then leaves what it did at the epoch's start as it is.
        generators: states of a process's random number generators for an epoch that goes on.
        skew: iterations that were taken more than a run with the present batch would have; not 0
            where the batch or the data were others before a resume.
        monitor: set by a hook before an iteration in which the record is to be measured.
        observers: called in every step with its record, without gradients, and its batch.
        stop_training: set by a hook that ends the run after this epoch.
        watch: keeps of each step what tells where the first NaN came from.
    """

    def __init__(
        self,
        runner: Run,
        dataloader: DataLoader[Any],
        max_epochs: int,
        micro_batch_size: int | None = None,
    ) -> None:
        super().__init__(runner, dataloader)
        check_lengths(max_epochs, micro_batch_size)
        self.max_epochs = max_epochs
        self.micro_batch_size = micro_batch_size
        self.epoch = 0
        self.iter = 0
        self.epoch_images = 0
        self.generators: dict[str, Any] | None = None
        self.skew = 0
        self.monitor: Monitor | None = None
        self.observers: list[Observer] = []
        self.stop_training = False
        self.watch = Watch()

    def start_at(self, epoch: int, iteration: int, images: int = 0) -> None:
        """Go on where a run was.

        Args:
            epoch: whole epochs that are over.
            iteration: iterations that were taken, of whatever batch.
            images: of the epoch under way that were trained on, over all processes; whole batches
                of them are over.
        """
        self.epoch, self.iter, self.epoch_images = epoch, iteration, images
        self.skew = iteration - epoch * len(self.dataloader) - self._leave_out()

    @property
    def length(self) -> int:
        """Iterations of a whole run with the present batch: what schedules go by."""
        return self.max_epochs * len(self.dataloader)

    @property
    def position(self) -> int:
        """Iterations of such a run that are over, of ``length``; during an iteration its number."""
        return self.iter - self.skew

    @property
    def max_iters(self) -> int:
        """Iterations that are taken and that are left."""
        return self.length + self.skew

    def run(self) -> nn.Module:
        """All epochs that are left; the trained model."""
        with watched_workers():
            self.runner.call_hook("before_train")
            while self.epoch < self.max_epochs and not self.stop_training:
                self.run_epoch()
            self.runner.call_hook("after_train")
        model: nn.Module = self.runner.model
        return model

    def run_epoch(self) -> None:
        """One pass over the loader, or over what is left of it after a resume."""
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        for number, batch in enumerate(self.dataloader, self._begin_epoch()):
            self.runner.call_hook("before_train_iter", batch_idx=number, data_batch=batch)
            outputs = self.step(batch)
            self.epoch_images += (self.dataloader.batch_size or 1) * world_size()
            self.runner.call_hook(
                "after_train_iter", batch_idx=number, data_batch=batch, outputs=outputs
            )
            self.iter += 1
        self.runner.call_hook("after_train_epoch")
        self.epoch += 1
        self.epoch_images = 0

    def _begin_epoch(self) -> int:
        """How many steps of this epoch are over, and ready for the next one."""
        seed_loader(self.dataloader)
        states, self.generators = self.generators, None
        if self.epoch_images and states is not None:
            set_generator_states(states)
        return self._leave_out()

    def _leave_out(self) -> int:
        """Have the sampler leave out images that were trained on; the steps that this saves."""
        sampler = self.dataloader.sampler
        if not isinstance(sampler, EpochSampler):
            return 0
        sampler.skip = self.epoch_images
        return len(self.dataloader) - sampler.steps_left

    def step(self, batch: dict[str, Any]) -> dict[str, float | Tensor]:
        """One optimiser step on a loader's batch; its scalars, without gradient."""
        model, network = self.runner.model, self.runner.network
        optimizer = self.runner.optim_wrapper
        with optimizer.optim_context(network):  # mixed precision, gradient accumulation
            inputs = model.data_preprocessor(batch, True)
            self.watch.begin(self.iter + 1, model, inputs["inputs"])
            record, pieces = self._embed(network, **inputs)
        self.watch.made(record)
        outputs = model.loss(record, self.monitor)
        self.watch.lost(outputs)
        loss = total_loss(outputs, type(model.head).__name__)
        optimizer.backward(optimizer.scale_loss(loss))
        self._backward_pieces(network, pieces, record)
        # Those of the head, say; DDP has joined the gradients of the network's.
        average_gradients(outside(network, model))
        if optimizer.should_update():
            optimizer.step()
            optimizer.zero_grad()
        for observe in self.observers:
            observe(record.detach(), batch)
        return {name: _detached(value) for name, value in {**outputs, "loss": loss}.items()}

    def _embed(
        self, network: nn.Module, inputs: list[Tensor], index: Tensor
    ) -> tuple[Embeddings, list[Piece]]:
        """The record of a batch, and the pieces that a backward pass embeds again."""
        if self.micro_batch_size is None:
            return network(inputs, index), []
        pieces, parts = embed_pieces(network, inputs, index, self.micro_batch_size)
        return join(parts), pieces

    def _backward_pieces(self, network: nn.Module, pieces: list[Piece], record: Embeddings) -> None:
        """Push the gradient of the record through the network, piece by piece."""
        if not pieces:
            return
        after = random_state()
        for piece in pieces:
            # DDP joins the gradients of all processes with the last piece, not with every one.
            wrapped = network if isinstance(network, DistributedDataParallel) else None
            with wrapped.no_sync() if wrapped and piece is not pieces[-1] else nullcontext():
                with self.runner.optim_wrapper.optim_context(network):
                    value = pull(network, piece, record)
                value.backward()
        set_random_state(after)


def check_lengths(max_epochs: int, micro_batch_size: int | None = None) -> None:
    """That a loop can be of these numbers.

    Raises:
        UserError: one is no positive integer.
    """
    check_count("train_cfg", max_epochs=max_epochs)
    if micro_batch_size is not None:
        check_count("train_cfg", micro_batch_size=micro_batch_size)


def outside(network: nn.Module, model: MultiView) -> Iterator[nn.Parameter]:
    """The parameters of a model that are none of its network's."""
    inside = {id(parameter) for parameter in network.parameters()}
    yield from (parameter for parameter in model.parameters() if id(parameter) not in inside)


def total_loss(outputs: Mapping[str, Any], head: str) -> Tensor:
    """The sum of the outputs whose names contain "loss".

    Raises:
        UserError: there is none, or one is no scalar tensor.
    """
    losses = {name: value for name, value in outputs.items() if "loss" in name}
    for name, value in losses.items():
        if not isinstance(value, Tensor) or value.dim():
            found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise UserError(
                f"model.head: {head} returns '{name}', which is no scalar tensor but {found}: what "
                f"is named loss is trained; take its mean, or give it another name."
            )
    if not losses:
        raise UserError(
            f"model.head: {head} returns nothing that is named loss, so there is nothing to train: "
            f"return dict(loss=...)."
        )
    return sum(losses.values(), start=torch.zeros_like(next(iter(losses.values()))))


def _detached(value: float | Tensor) -> float | Tensor:
    return value.detach() if isinstance(value, Tensor) else value
