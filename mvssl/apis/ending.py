"""What ends a run, or its preparation, that nobody foresaw: one sentence, and where the rest is."""

from __future__ import annotations

import logging
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.utils.checkpoint import CheckpointError

from mvssl.distributed.launch import lost_processes_told
from mvssl.engine import Runner
from mvssl.engine.compiled import compile_fault
from mvssl.errors import Interrupted, RunError, UserError
from mvssl.words import in_words

__all__ = ["is_out_of_memory", "told_before", "told_while_running"]

MEMORY = "lower train_dataloader.batch_size, or keep it and give train_cfg.micro_batch_size"


@contextmanager
def told_before() -> Iterator[None]:
    """Turn what is raised while a run is prepared into a sentence; the traceback is kept.

    Raises:
        UserError: whatever is raised inside, but for interruptions.
    """

    def told(error: Exception) -> UserError:
        return _known(error) or RunError(
            f"The run cannot begin: {in_words(error)}. The traceback is in {_keep(error)}."
        )

    with _in_a_sentence(told):
        yield


@contextmanager
def told_while_running(runner: Runner, remains: Callable[[], str]) -> Iterator[None]:
    """Turn what is raised during a run into a sentence, and write it and the traceback to its log.

    Args:
        runner: of the run.
        remains: says what is left of it, as the end of a sentence.

    Raises:
        UserError: whatever is raised inside, but for interruptions.
    """

    def told(error: Exception) -> UserError:
        place = f"in epoch {runner.epoch + 1}, iteration {runner.iter + 1}"
        if runner.calling is not None:
            place = f"{place}, in {runner.calling}"
        log = _log(error, runner.logger)
        known = _known(error)
        if known is not None:
            return type(known)(f"{known} It was {place}; {remains()}.")
        return RunError(
            f"The run ended {place}: {in_words(error)}. The traceback is in {log}; {remains()}."
        )

    try:
        with _in_a_sentence(told):
            yield
    except (UserError, Interrupted) as error:
        # Who comes back to a run finds there why it ended.
        runner.logger.info(f"ended: {error}")
        raise


@contextmanager
def _in_a_sentence(told: Callable[[Exception], UserError]) -> Iterator[None]:
    """Let sentences and interruptions pass, and raise what ``told`` makes of anything else."""
    try:
        with lost_processes_told():
            yield
    except UserError:
        raise
    except Exception as error:
        raise told(error) from error


def _known(error: Exception) -> UserError | None:
    """The sentence of a fault that has a remedy."""
    if is_out_of_memory(error):
        return RunError(f"There is not enough memory ({in_words(error)[:200]}): {MEMORY}.")
    if isinstance(error, CheckpointError):
        return UserError(
            f"activation_checkpointing: a part computes something else the second time "
            f"({in_words(error)[:200]}): name other parts, or leave it out."
        )
    return compile_fault(error)


def is_out_of_memory(error: Exception) -> bool:
    """Whether it says that memory is short, a GPU's or the machine's."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        # torch has no class of its own for a CPU's.
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def _log(error: Exception, logger: logging.Logger) -> str:
    """Write a traceback into the log file, whatever its level; the file."""
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            text = "".join(traceback.format_exception(error))
            record = logger.makeRecord(logger.name, logging.ERROR, "", 0, text, (), None)
            handler.handle(record)
            return handler.baseFilename
    return _keep(error)  # only the first process has a log


def _keep(error: Exception) -> str:
    """Write a traceback into a new file of the system's folder for such; the file."""
    lines = traceback.format_exception(error)
    with tempfile.NamedTemporaryFile(
        "w", prefix="mvssl_", suffix=".log", delete=False, encoding="utf-8"
    ) as file:
        file.writelines(lines)
    return str(Path(file.name))
