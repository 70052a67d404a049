"""Checkpoints and weights on disk; nothing else reads or writes them."""

from mvssl.checkpoint.outputs import newer_checkpoint, number_of, outputs_beyond, read_summary
from mvssl.checkpoint.store import (
    RunCheckpoint,
    check_numbers,
    check_optimizer,
    check_weights,
    checkpoints_in,
    intact_checkpoint,
    latest_checkpoint,
    load_checkpoint,
    load_run,
    load_weights_strictly,
    open_safetensors,
    read_content,
    save_checkpoint,
    write_safetensors,
)

__all__ = [
    "RunCheckpoint",
    "check_numbers",
    "check_optimizer",
    "check_weights",
    "checkpoints_in",
    "intact_checkpoint",
    "latest_checkpoint",
    "load_checkpoint",
    "load_run",
    "load_weights_strictly",
    "newer_checkpoint",
    "number_of",
    "open_safetensors",
    "outputs_beyond",
    "read_content",
    "read_summary",
    "save_checkpoint",
    "write_safetensors",
]
