"""mmengine's Runner with our loaders, console, scalars and checkpoints."""

from __future__ import annotations

import logging
import os
import time
import warnings
from functools import cached_property
from pathlib import Path
from typing import Any

from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner as MMRunner
from torch import nn

from mvssl import checkpoint as checkpoints
from mvssl.checkpoint import RunCheckpoint
from mvssl.distributed import broadcast_, on_first_rank
from mvssl.engine.agreement import Agreed, StepAgreement
from mvssl.engine.compiled import compile_embed
from mvssl.engine.environment import environment_text
from mvssl.engine.generators import seed_everything
from mvssl.engine.history import History
from mvssl.engine.hooks import EvaluationHook, ProgressHook, StopHook
from mvssl.engine.job import Job
from mvssl.engine.log import Forgiving, PrintableRecords, own_files
from mvssl.engine.loop import TrainLoop, distribute, lay_channels_last
from mvssl.engine.recompute import part_names, recompute
from mvssl.engine.resume import content_of_run, resume_run, shares_of_run, take_weights
from mvssl.engine.scalars import RunScalars
from mvssl.engine.tags import tag_of
from mvssl.engine.tensorboard import TensorboardVisBackend
from mvssl.errors import UserError
from mvssl.files import write_bytes_atomically
from mvssl.models import MultiView
from mvssl.models.batch_norm import synchronize_batch_norm
from mvssl.opencv import cv2
from mvssl.run_files import CONFIG, CURVES, ENVIRONMENT, LATEST, LOG
from mvssl.words import printable

__all__ = ["Runner"]


class Runner(MMRunner):
    """What differs from mmengine's Runner:

    - outputs go directly into the work dir, and mmengine's dumps to the log file alone;
    - statistics of BatchNorm are those of the joined batch: one process equals several;
    - every epoch starts from a seed of its own, so a run that is resumed with its seed equals one
      that never stopped;
    - everything is built before (``Job``), so that nothing is built again here;
    - checkpoints hold tensors and plain containers and open with ``weights_only=True``.

    Args:
        job: everything that the run is made of.
        work_dir: folder of the outputs.
        checkpoint: from which it goes on, where it does.
        launcher: ``none``, ``pytorch`` or ``slurm``.

    Attributes:
        model: never wrapped.
        network: ``model.embed``, in DDP where there are several processes.
        train_set: what is trained on.
        history: curves of the run.
        scalars: collects what hooks and the model report.
        epoch_means: means of the scalars over the last whole epoch.
        agreement: makes known to all processes who asks to stop, and that it is time to save.
        calling: the method of a hook that is running, for the message where it fails.
        stored: what checkpoints hold of the run beside, in their ``meta``.
        changed: config values that are not those of the checkpoint, by path.
        curves_file: tries to write what the visualizer shows.
        seconds_before: of ``seconds``, those before a resume.
        seconds: that the run took so far, evaluation and the time before a resume included.
    """

    model: MultiView
    network: nn.Module
    optim_wrapper: OptimWrapper
    train_loop: TrainLoop

    def __init__(
        self,
        job: Job,
        work_dir: str | os.PathLike[str],
        checkpoint: RunCheckpoint | None = None,
        launcher: str = "none",
    ) -> None:
        # Before mmengine's constructor, which registers hooks.
        self.history = History()
        self.scalars = RunScalars()
        self.epoch_means: dict[str, float] = {}
        self.checkpoint = checkpoint
        self.train_set = job.dataset
        self.calling: str | None = None
        self.agreement = StepAgreement()
        self.stored, self.changed = job.stored, job.changed
        self.curves_file = Forgiving("what the visualizer shows")
        self.seconds_before = 0.0
        self._since: float | None = None
        # mmengine opens these by their names.
        on_first_rank(lambda: own_files(work_dir, (LOG, LATEST, CONFIG, ENVIRONMENT), (CURVES,)))
        plain = job.cfg.to_dict()
        plain["train_cfg"].pop("by_epoch", None)
        super().__init__(
            model=job.model,
            work_dir=str(work_dir),
            train_dataloader=job.loader,
            train_cfg={"type": "TrainLoop", **plain["train_cfg"]},
            optim_wrapper=job.optim_wrapper,
            param_scheduler=job.schedulers,
            default_hooks=job.default_hooks,
            custom_hooks=job.custom_hooks,
            launcher=launcher,
            env_cfg=plain.get("env_cfg") or {},
            log_level=plain.get("log_level", "INFO"),
            # mmengine would write files of its own where it is told of none.
            visualizer={"type": "Visualizer", **(plain.get("visualizer") or {})},
            default_scope="mvssl",
            randomness={"seed": job.seed},
            # mmengine keeps loggers by name and names them by the second.
            experiment_name=f"{Path(job.config).stem}_{os.getpid()}_{time.monotonic_ns()}",
            cfg=job.cfg,
        )
        self.register_hook(StopHook())

    # mmengine would put logs and TensorBoard files into <work_dir>/<timestamp>.
    @property
    def _log_dir(self) -> str:
        return self.work_dir

    @_log_dir.setter
    def _log_dir(self, value: str) -> None:
        pass

    def setup_env(self, env_cfg: dict[str, Any]) -> None:
        with warnings.catch_warnings():
            # It tells that it sets one thread for each process, as torchrun has done before.
            warnings.filterwarnings("ignore", "Setting (OMP|MKL)_NUM_THREADS", UserWarning)
            super().setup_env(env_cfg)

    def build_logger(
        self, log_level: int | str = "INFO", log_file: str | None = None, **arguments: Any
    ) -> MMLogger:
        log_file = log_file or str(Path(self.work_dir) / LOG)
        logger = super().build_logger(log_level, log_file, **arguments)
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler:
                # mmengine's warnings are about its own insides; what a user must read is printed.
                handler.setLevel(logging.ERROR)
        logger.addFilter(PrintableRecords())
        Forgiving(LOG).watch(logger)
        return logger

    @cached_property
    def config_text(self) -> str:
        """The config as a file; to format it takes longer than to write a small checkpoint."""
        return str(self.cfg.pretty_text)

    def _log_env(self, env_cfg: dict[str, Any]) -> None:
        # Into a file of its own: the log begins with what matters.
        if self.rank == 0:
            settings = {
                **env_cfg,
                "seed": self.seed,
                "launcher": self._launcher,
                "processes": self.world_size,
            }
            self._environment = environment_text(settings)
            self._write_environment()
        self.logger.info(f"environment in {ENVIRONMENT}, config in {CONFIG}")

    def _write_environment(self) -> None:
        place = Path(self.work_dir) / ENVIRONMENT
        write_bytes_atomically(place, self._environment.encode(errors="backslashreplace"))

    def get_hooks_info(self) -> str:
        # mmengine would log the table.
        if self.rank == 0:
            self._environment += f"\nHooks, in their order\n{super().get_hooks_info()}\n"
            self._write_environment()
        return f"in {ENVIRONMENT}"

    def dump_config(self) -> None:
        if self.rank == 0:
            write_bytes_atomically(Path(self.work_dir) / CONFIG, self.config_text.encode())

    def wrap_model(self, model_wrapper_cfg: None, model: MultiView) -> MultiView:
        # What is wrapped is the network (`embed`), so that the model stays what it is.
        if self.distributed:
            synchronize_batch_norm(model)
        model = model.to(get_device())
        lay_channels_last(model)
        with warnings.catch_warnings():
            # torch renames broadcast_buffers, which the call needs as long as torch 2.4 is served.
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
            self.network = distribute(model, self.cfg.get("find_unused_parameters", False))
        return model

    def call_hook(self, fn_name: str, **arguments: Any) -> None:
        if fn_name == "before_train_epoch":
            self.agreement.begin()
            # Dropout, drop-path and the like differ between processes and repeat after a resume.
            seed_everything(self.seed + 1_000_003 * (self.epoch + 1) + 7919 * self.rank)
        # mmengine's own would turn a TypeError in a hook into one without its traceback.
        caller = self.calling  # a hook that saves calls those of the saving
        for hook in self.hooks:
            method = getattr(hook, fn_name, None)
            if method is not None:
                self.calling = f"{type(hook).__name__}.{fn_name}"
                method(self, **arguments)
        self.calling = caller

    @property
    def position(self) -> int:
        return self.train_loop.position

    @property
    def length(self) -> int:
        return self.train_loop.length

    @property
    def agreed(self) -> Agreed:
        return self.agreement.after(self.iter)

    def between_steps(self) -> None:
        self.agreement.between()

    @property
    def seconds(self) -> float:
        running = 0.0 if self._since is None else time.perf_counter() - self._since
        return self.seconds_before + running

    def train(self) -> nn.Module:
        self._since = time.perf_counter()
        try:
            loop = self.train_loop
            self.call_hook("before_run")
            self.make_ready()
            if self.checkpoint is not None:
                resume_run(self, self.checkpoint)
                self.checkpoint = None  # it holds the weights once more
            self.optim_wrapper.initialize_count_status(self.model, loop.iter, loop.max_iters)
            compile_embed(self.model, self.cfg.get("compile"))
            loop.run()
            self.agreement.settle()
            self.call_hook("after_run")
            return self.model
        finally:
            for hook in self.hooks:
                if isinstance(hook, ProgressHook):
                    hook.stop()
            self.curves_file.attempt(self.visualizer.close)
            self.seconds_before, self._since = self.seconds, None

    def make_ready(self) -> None:
        """Draw the weights, the same on all processes."""
        self.model.init_weights()
        for tensor in self.model.state_dict().values():
            broadcast_(tensor)
        recompute(self.model, part_names(self.cfg.get("activation_checkpointing")))

    def record(self, scalars: dict[str, float], step: int) -> None:
        """Add a point to the curves and to TensorBoard, after ``step`` iterations."""
        self.history.add(step, scalars)
        if self.rank == 0:
            tagged = {tag_of(name, self._evaluated): value for name, value in scalars.items()}
            self.curves_file.attempt(self.visualizer.add_scalars, tagged, step)

    @cached_property
    def _evaluated(self) -> frozenset[str]:
        hooks = [hook for hook in self.hooks if isinstance(hook, EvaluationHook)]
        evaluators = [one for hook in hooks for one in hook.evaluators.values()]
        return frozenset(name for one in evaluators for name in one.curves)

    def write_text(self, name: str, text: str, step: int) -> None:
        """Put a text into TensorBoard, after ``step`` iterations; other loggers take none."""
        if self.rank != 0:
            return
        for backend in self.visualizer._vis_backends.values():
            if isinstance(backend, TensorboardVisBackend):
                self.curves_file.attempt(_add_text, backend, name, text, step)

    def write_picture(self, name: str, path: Path) -> None:
        """Show a picture that was written beside the curves, after as many steps as were taken."""
        pixels = cv2.imread(str(path)) if self.rank == 0 else None
        if pixels is not None:
            pixels = pixels[..., ::-1]
            self.curves_file.attempt(self.visualizer.add_image, name, pixels, self.iter)

    def console_message(self, text: str) -> None:
        """Print a line that stays, above the progress line, and log it."""
        text = "\n".join(map(printable, text.split("\n")))
        self.logger.info(text)
        for hook in self.hooks:
            if isinstance(hook, ProgressHook):
                hook.message(text)

    def save_epoch(self) -> Path:
        """Write ``epoch_N.pth`` in ``after_train_epoch``; every process calls this.

        What is called after it in the epoch is done by no run that is resumed.
        """
        return self._save(f"epoch_{self.epoch + 1}.pth", self.epoch + 1, self.iter, 0)

    def save_mid_epoch(self) -> Path:
        """Write ``iter_N.pth`` in ``after_train_iter``; every process calls this after one step.

        A run that is resumed from it goes on with the next step, with every number as it would
        have been. The caller is the last of all hooks (priority ``LOWEST``), since what hooks do
        after it in the step would be lost.
        """
        images = self.train_loop.epoch_images
        return self._save(f"iter_{self.iter + 1}.pth", self.epoch, self.iter + 1, images)

    def save_between_epochs(self, over: int) -> Path:
        """Write ``iter_N.pth`` where ``over`` epochs are over, and no step of the next one; every
        process calls this.
        """
        return self._save(f"iter_{self.iter}.pth", over, self.iter, 0)

    def save_checkpoint(
        self, out_dir: str, filename: str, *_: Any, by_epoch: bool = True, **__: Any
    ) -> None:
        """What a hook of mmengine calls, at the end of an epoch or after a step."""
        if by_epoch:
            self._save(filename, self.epoch + 1, self.iter, 0, Path(out_dir))
        else:
            images = self.train_loop.epoch_images
            self._save(filename, self.epoch, self.iter + 1, images, Path(out_dir))

    def _save(
        self, name: str, epoch: int, steps: int, images: int, folder: Path | None = None
    ) -> Path:
        path = (folder or Path(self.work_dir)) / name
        own = shares_of_run(self)

        def write() -> None:
            content = {**content_of_run(self, epoch, steps, images), **own}
            self.call_hook("before_save_checkpoint", checkpoint=content)
            checkpoints.save_checkpoint(content, path)
            write_bytes_atomically(path.with_name(LATEST), os.fsencode(path.name))

        on_first_rank(write)  # no process goes on where it could not be written
        self.agreement.saved()
        return path

    def load_checkpoint(self, filename: str, *_: Any, **__: Any) -> dict[str, Any]:
        content = checkpoints.load_checkpoint(filename)
        if "state_dict" not in content:
            raise UserError(
                f"{filename} holds no model of a run (no 'state_dict'): give an epoch_*.pth file "
                f"that mvssl wrote."
            )
        take_weights(self, content, filename)
        return content

    def resume(self, filename: str, *_: Any, **__: Any) -> None:
        resume_run(self, checkpoints.load_run(filename))


def _add_text(backend: TensorboardVisBackend, name: str, text: str, step: int) -> None:
    backend.experiment.add_text(name, text, step)  # opens its file where that is not open yet
