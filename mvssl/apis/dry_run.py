"""The dry run: what a run is, whether its batch fits the memory, and one step of it."""

from __future__ import annotations

import resource
import time
from typing import Any

import torch
from mmengine.device import get_device

from mvssl.apis.ending import is_out_of_memory
from mvssl.distributed import on_all_ranks, world_size
from mvssl.engine import Job, Runner
from mvssl.engine.compiled import compile_embed
from mvssl.engine.memory import Estimate, estimate, free_memory
from mvssl.errors import UserError
from mvssl.report.plan import opening, plan

__all__ = ["dry_run"]

GIB = 2**30


def dry_run(runner: Runner, job: Job) -> None:
    """Print the plan of a run, and train on one batch where that fits the memory.

    Raises:
        UserError: it does not fit; the sentence says what would.
    """
    if runner.rank == 0:
        print(opening(job, "none (dry run)"))
        print(_table(plan(runner, job)), flush=True)
    runner.make_ready()
    compile_embed(runner.model, runner.cfg.get("compile"))
    runner.model.train()
    batch = next(iter(runner.train_dataloader))
    found = estimate(runner, batch)
    on_all_ranks(lambda: _check(runner, found))
    try:
        seconds, loss = _one_step(runner, batch)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(_too_large(runner, found, "is not there")) from error
    if runner.rank != 0:
        return
    epoch = len(runner.train_dataloader) * seconds
    rows = {
        "memory": f"{_memory()}; foreseen {found.of(_at_once(runner)) / GIB:.2f} GiB of a step",
        "one batch": f"loss {loss:.4f}, {seconds:.2f} s; an epoch about {epoch:.0f} s",
    }
    print(_table(rows))
    print("\nDry run: one batch was trained on, nothing was written.")


def _table(rows: dict[str, str]) -> str:
    return "\n".join(f"{name:<14}{text}" for name, text in rows.items())


def _at_once(runner: Runner) -> int:
    """Images of a process that pass through the network together."""
    return runner.train_loop.micro_batch_size or _share(runner)


def _share(runner: Runner) -> int:
    return int(runner.cfg.train_dataloader.batch_size) // world_size()


def _check(runner: Runner, found: Estimate) -> None:
    free = free_memory()
    if free is not None and found.of(_at_once(runner)) > free:
        raise UserError(_too_large(runner, found, f"of which {free / GIB:.1f} GiB are free"))


def _too_large(runner: Runner, found: Estimate, free: str) -> str:
    images = _at_once(runner)
    return (
        f"A step with {images} images at once takes about {found.of(images) / GIB:.1f} GiB of "
        f"memory, {free}: {_advice(found, _share(runner), images, free_memory())}"
    )


def _advice(found: Estimate, share: int, images: int, free: int | None) -> str:
    """What fits, as the end of a sentence.

    Args:
        found: bytes of a step.
        share: images of a batch that a process has.
        images: of these, those that pass at once, which do not fit.
        free: bytes.
    """
    # Where memory ended all the same, less is there than was thought.
    most = min(images // 2, images if free is None else found.most(free))
    pieces = [size for size in range(2, most + 1) if share % size == 0]
    batch = 1 << (most.bit_length() - 1) if most > 1 else 0
    if not pieces and not batch:
        return "choose a smaller --image-size or --backbone."
    ways = [f"give --cfg-options train_cfg.micro_batch_size={pieces[-1]}"] if pieces else []
    ways += [f"--batch-size {batch * world_size()}"] if batch else []
    kept = " (the same batch, in pieces)" if pieces else ""
    return f"{ways[0]}{kept}" + (f", or {ways[1]}." if len(ways) > 1 else ".")


def _one_step(runner: Runner, batch: dict[str, Any]) -> tuple[float, float]:
    """Seconds and loss of the second of two steps on one batch: the first one warms up."""
    started, loss = 0.0, float("nan")
    for _ in range(2):
        started = time.perf_counter()
        outputs = runner.train_loop.step(batch)
        loss = float(outputs["loss"])
    return time.perf_counter() - started, loss


def _memory() -> str:
    if get_device() == "cuda":
        return f"{torch.cuda.max_memory_allocated() / GIB:.2f} GiB of GPU memory at the peak"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return f"{peak:.2f} GiB at the peak, the whole process"
