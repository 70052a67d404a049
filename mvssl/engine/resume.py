"""What a checkpoint holds of a run, and putting a run where another one was."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from mmengine.logging import HistoryBuffer
from mmengine.optim import OptimWrapper, _ParamScheduler  # the base of all schedulers, exported
from mmengine.visualization import Visualizer

from mvssl.arguments import is_number
from mvssl.checkpoint import RunCheckpoint, load_weights_strictly
from mvssl.distributed import world_size
from mvssl.engine.generators import check_generator_states
from mvssl.engine.log import Forgiving
from mvssl.engine.loop import TrainLoop
from mvssl.engine.position import hook_states, load_hook_states, load_shares, shares
from mvssl.engine.run import Run
from mvssl.engine.tensorboard import TensorboardVisBackend
from mvssl.errors import UserError
from mvssl.words import in_words

__all__ = [
    "WholeRun",
    "content_of_run",
    "load_optimizer",
    "replay",
    "resume_run",
    "shares_of_run",
    "take_weights",
]

# What reading something of another kind raises.
CONTENT_ERRORS = (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)


class WholeRun(Run, Protocol):
    """What is saved and put back: a run with what hooks do not see of it, ``mvssl.engine.Runner``
    says what each is.
    """

    stored: dict[str, Any]
    changed: frozenset[str]
    seconds_before: float
    curves_file: Forgiving

    @property
    def seconds(self) -> float: ...
    @property
    def train_loop(self) -> TrainLoop: ...
    @property
    def config_text(self) -> str: ...
    @property
    def param_schedulers(self) -> list[_ParamScheduler] | None: ...
    @property
    def visualizer(self) -> Visualizer: ...


def content_of_run(run: WholeRun, epoch: int, steps: int, images: int) -> dict[str, Any]:
    """What all processes have alike of a run.

    Args:
        run: that is saved.
        epoch: whole epochs.
        steps: iterations in all.
        images: of the epoch that is not over, over all processes.
    """
    return {
        "meta": {
            **run.stored,
            "epoch": epoch,
            "iter": steps,
            "epoch_images": images,
            "world_size": world_size(),
            "max_epochs": run.max_epochs,
            "steps_per_epoch": len(run.train_dataloader),
            "seed": run.seed,
            "config": run.config_text,
            "epoch_means": run.epoch_means,
            "seconds": run.seconds,
            "stop_training": run.train_loop.stop_training,
        },
        "state_dict": run.model.state_dict(),
        "optimizer": run.optim_wrapper.state_dict(),
        # For whoever compares runs: a run that goes on finds their place by its own.
        "param_schedulers": [s.state_dict() for s in run.param_schedulers or []],
        "history": run.history.state_dict(),
        "message_hub": {
            name: list(buffer.data) for name, buffer in run.message_hub.log_scalars.items()
        },
    }


def shares_of_run(run: WholeRun) -> dict[str, Any]:
    """What processes have each of their own, and hooks; every process calls this."""
    own = shares(run.model, run.optim_wrapper, run.scalars)
    return {**own, "hooks": hook_states(run.hooks)}


def take_weights(run: WholeRun, content: Mapping[str, Any], where: str | Path) -> None:
    """Load a checkpoint's weights into the model.

    Raises:
        UserError: they are another model's.
    """
    run.call_hook("after_load_checkpoint", checkpoint=content)
    load_weights_strictly(run.model, content["state_dict"], where)
    run.logger.info(f"loaded {where}")


def resume_run(run: WholeRun, checkpoint: RunCheckpoint) -> None:
    """Go on from where a run was when the checkpoint was written.

    Raises:
        UserError: it is of another model, or lacks something.
    """
    take_weights(run, checkpoint.content, checkpoint.path)
    try:
        _go_on_from(run, checkpoint)
    except UserError:
        raise
    except CONTENT_ERRORS as error:
        raise UserError(
            f"{checkpoint.path} does not hold what a run goes on with ({in_words(error)}): give "
            f"a file that this version wrote, or load its weights by model.backbone.checkpoint."
        ) from error


def _go_on_from(run: WholeRun, checkpoint: RunCheckpoint) -> None:
    content, meta = checkpoint.content, checkpoint.content["meta"]
    loop = run.train_loop
    loop.start_at(meta["epoch"], meta["iter"], meta["epoch_images"])
    # At an epoch's end a hook had ended that run, and who resumes it wants it to go on.
    loop.stop_training = bool(loop.epoch_images) and meta["stop_training"]
    loop.generators = load_shares(content, run.model, run.scalars)
    if loop.generators is not None:
        check_generator_states(loop.generators)
    load_hook_states(run.hooks, content["hooks"])
    run.epoch_means = dict(meta["epoch_means"])
    run.seconds_before = meta["seconds"]
    _restore_optimizer(run, checkpoint)
    run.history.load_state_dict(content["history"])
    for name, (values, counts) in content.get("message_hub", {}).items():
        buffer = HistoryBuffer(values.numpy(), counts.numpy())
        run.message_hub.log_scalars[name] = buffer
    for backend in run.visualizer._vis_backends.values():
        if isinstance(backend, TensorboardVisBackend) and run.rank == 0:
            run.curves_file.attempt(backend.take_back, loop.iter + 1)
    run.logger.info(f"resumed at epoch {meta['epoch']}, iteration {meta['iter']}")


def _restore_optimizer(run: WholeRun, checkpoint: RunCheckpoint) -> None:
    """Its state; rates and other options from the present config where anything differs.

    Where nothing does they are those of the checkpoint, which a hook may have set.
    """
    content, meta = checkpoint.content, checkpoint.content["meta"]
    steps = len(run.train_dataloader)
    before = tuple(meta[name] for name in ("max_epochs", "steps_per_epoch", "world_size"))
    differs = bool(run.changed) or before != (run.max_epochs, steps, world_size())
    replay(run.param_schedulers or [], run.position, run.epoch, steps)
    load_optimizer(run.optim_wrapper, content["optimizer"], str(checkpoint.path), differs)


def replay(
    schedulers: Sequence[_ParamScheduler], position: int, epochs: int, steps_per_epoch: int
) -> None:
    """Move new schedules to where they are after ``position`` iterations of a run.

    After an epoch's last iteration the epoch may be over or not: ``epochs`` are.

    Their saved state would be that of a run of the length and with the rates which it had then.
    """
    with warnings.catch_warnings():
        # They miss the optimiser's steps, which were taken before.
        warnings.filterwarnings("ignore", "Detected call of `scheduler.step", UserWarning)
        for step in range(1, position + 1):
            for scheduler in schedulers:
                if not scheduler.by_epoch:
                    scheduler.step()
            if step % steps_per_epoch == 0 and step <= epochs * steps_per_epoch:
                for scheduler in schedulers:
                    if scheduler.by_epoch:
                        scheduler.step()


def load_optimizer(
    wrapper: OptimWrapper, state: Mapping[str, Any], where: str, keep_options: bool
) -> None:
    """Load the state of an optimiser.

    Args:
        wrapper: of the optimiser.
        state: of its ``state_dict``.
        where: it comes from.
        keep_options: whether rates and other numbers of the parameter groups stay what they are;
            what is no number does in any case.

    Raises:
        UserError: it is of other parameter groups.
    """
    options = [
        {name: value for name, value in group.items() if name != "params"}
        for group in wrapper.param_groups
    ]
    try:
        wrapper.load_state_dict(dict(state))
    except (ValueError, KeyError) as error:
        raise UserError(
            f"The optimiser's state in {where} is of other parameters than those that are trained "
            f"now ({error}): resume with the config that wrote it, or start a new run."
        ) from error
    for group, own in zip(wrapper.param_groups, options, strict=True):
        for name, value in own.items():
            if keep_options or not (is_number(value) and is_number(group.get(name))):
                group[name] = value
