"""The line that a user watches while training runs."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn

from mvssl.arguments import check_not_negative
from mvssl.engine.history import format_duration, format_scalar
from mvssl.engine.run import Run
from mvssl.registry import HOOKS
from mvssl.words import count

SCALARS = ("loss", "entropy", "reconstruction")
REFRESH_S = 0.2


class StatusLine(Progress):
    """A `rich.progress.Progress` of one line that fits any width: what finds no room is left out.

    It has one task, whose fields are the texts: those of `ORDER` but for the bar; any may be
    missing. Nothing is drawn before `start`, nor by a thread: whoever updates it refreshes it.
    """

    # From left to right, and from what matters most to what goes first where room is short.
    ORDER = ("epoch", "bar", "percent", "elapsed", "eta", "speed", *SCALARS)
    IMPORTANCE = ("epoch", "percent", "loss", "eta", "bar", "speed", "elapsed", *SCALARS[1:])
    STYLES: ClassVar = {"epoch": "bold", "elapsed": "dim", "eta": "cyan", "speed": "dim"}
    BAR_MIN, BAR_MAX, GAP = 8, 32, 2

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        # Refreshed by the training loop instead of by rich's thread: workers that load data are
        # forked from this process, and a lock held by another thread at that moment hangs them.
        super().__init__(console=console, auto_refresh=False, get_time=clock)

    def get_renderables(self) -> Iterable[RenderableType]:
        for task in self.tasks:
            # The last cell stays empty: some terminals wrap as soon as it is written.
            self.columns = self._fitting(task, self.console.width - 1)
            table = self.make_tasks_table([task])
            table.padding = (0, self.GAP, 0, 0)
            yield table

    def _fitting(self, task: Task, width: int) -> tuple[ProgressColumn, ...]:
        """Columns that together fit into ``width`` cells, in order."""
        room = width + self.GAP
        shown = set()
        for name in self.IMPORTANCE:
            cells = self.BAR_MIN if name == "bar" else cell_len(task.fields.get(name, ""))
            if cells + self.GAP > room:
                break
            if cells:
                room -= cells + self.GAP
                shown.add(name)
        bar = BarColumn(bar_width=min(self.BAR_MIN + room, self.BAR_MAX))
        return tuple(
            bar if name == "bar" else self._text(name) for name in self.ORDER if name in shown
        )

    def _text(self, name: str) -> TextColumn:
        style = self.STYLES.get(name, "none")
        return TextColumn(f"{{task.fields[{name}]}}", style=style, markup=False)


@HOOKS.register_module()
class ProgressHook(Hook):
    """Shows how far training is: one live line on a terminal, plain lines anywhere else.

    Rank 0 only. Reads ``runner.history.latest``, ``epoch``, ``iter``, ``max_epochs`` and
    ``max_iters``; after a resume the line starts at the resumed iteration, and the time that is
    left is estimated from new iterations alone. Whoever runs the training calls `stop` in a
    ``finally``, which gives the terminal back after an exception or Ctrl-C.

    Args:
        interval_s: seconds between plain lines where there is no terminal.
        clock: seconds from any origin, for tests.
    """

    # After the hooks that record this iteration's scalars.
    priority = "VERY_LOW"

    def __init__(
        self, interval_s: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        check_not_negative("ProgressHook", interval_s=interval_s)
        self.interval_s = interval_s
        self._clock = clock
        self._line: StatusLine | None = None  # while it trains
        self._handlers: list[tuple[logging.StreamHandler[Any], Any]] = []
        self._timed_from: tuple[int, float] | None = None
        self._shown = 0.0
        self._shown_iter = -1

    def message(self, text: str) -> None:
        """Print a line that stays, above the live line where there is one."""
        if not is_main_process():
            return
        if self._line is not None and self._line.live.is_started:
            self._line.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, flush=True)

    def stop(self) -> None:
        """Leave the live line as it is and give the terminal back; safe to call at any time."""
        line, self._line = self._line, None
        if line is not None and line.live.is_started:
            line.stop()
        while self._handlers:
            handler, stream = self._handlers.pop()
            handler.setStream(stream)

    def before_train(self, runner: Run) -> None:
        if not is_main_process():
            return
        self.stop()
        console = Console()
        line = self._line = StatusLine(console, self._clock)
        line.add_task("", total=max(runner.max_iters, 1), completed=runner.iter)
        self._timed_from = None
        self._shown, self._shown_iter = self._clock(), runner.iter
        self._update(line, runner, runner.iter)
        if sys.stdout.isatty() and console.is_terminal and not console.is_dumb_terminal:
            self._start_live(line, runner.logger)
        elif runner.iter:
            print(f"resuming at {_position(line, runner, runner.iter)}", flush=True)
        else:
            epochs, iters = runner.max_epochs, runner.max_iters
            print(f"training for {count(epochs, 'epoch')}, {count(iters, 'iteration')}", flush=True)

    def after_train_iter(
        self,
        runner: Run,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        if self._line is None:
            return
        done, now = runner.iter + 1, self._clock()  # the loop counts it after its hooks
        if self._timed_from is None:  # the first one starts workers and warms up the device
            self._timed_from = (done, now)
        interval_s = REFRESH_S if self._line.live.is_started else self.interval_s
        # The last one before its evaluation, whose lines follow.
        if now - self._shown >= interval_s or done == runner.max_iters:
            self._show(self._line, runner, done)

    def after_train_epoch(self, runner: Run) -> None:
        if self._line is not None and self._line.live.is_started:
            self._show(self._line, runner, runner.iter)

    def after_train(self, runner: Run) -> None:
        line = self._line
        if line is not None and (line.live.is_started or self._shown_iter != runner.iter):
            self._show(line, runner, runner.iter)
        self.stop()

    def after_run(self, runner: Run) -> None:
        self.stop()

    def _show(self, line: StatusLine, runner: Run, done: int) -> None:
        self._shown, self._shown_iter = self._clock(), done
        self._update(line, runner, done)
        if line.live.is_started:
            line.refresh()
            return
        texts = line.tasks[0].fields
        words = [_position(line, runner, done)]
        words += [texts[name].rstrip() for name in ("eta", "speed", *SCALARS) if name in texts]
        print("  ".join(words), flush=True)

    def _update(self, line: StatusLine, runner: Run, done: int) -> None:
        """Bring the line up to date with ``done`` iterations behind it."""
        latest, task = runner.history.latest, line.tasks[0]
        epoch = min(runner.epoch + 1, runner.max_epochs)
        eta = format_duration(self._remaining(runner.max_iters, done))
        texts: dict[str, Any] = {
            "epoch": f"epoch {epoch:>{len(str(runner.max_epochs))}}/{runner.max_epochs}",
            "percent": f"{100 * done // max(runner.max_iters, 1):2d}%",
            "elapsed": format_duration(task.elapsed),
            "eta": f"eta {eta:7}",
        }
        if "images_per_second" in latest:
            texts["speed"] = f"{latest['images_per_second']:.0f} images/s"
        # Padded, so that the line does not jump when a digit comes or goes.
        for name in SCALARS:
            if name in latest:
                texts[name] = f"{name} {format_scalar(latest[name]):6}"
        line.update(task.id, completed=done, **texts)

    def _remaining(self, total: int, done: int) -> float | None:
        """Seconds that are left, None before the second iteration.

        From the mean since the first iteration, in which every evaluation and checkpoint has its
        share. rich's own estimate looks back over a number of seconds: after an evaluation that
        fills nearly all of them, a step would seem to take as long as the evaluation.
        """
        if self._timed_from is None or done <= self._timed_from[0]:
            return None
        since, start = self._timed_from
        return (total - done) * (self._clock() - start) / (done - since)

    def _start_live(self, line: StatusLine, logger: logging.Logger) -> None:
        standard = (sys.stdout, sys.stderr)
        line.start()
        # The logger holds on to the streams it was made with and would write into the line.
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream in standard:
                self._handlers.append((handler, handler.stream))
                handler.setStream(sys.stdout)


def _position(line: StatusLine, runner: Run, done: int) -> str:
    return f"{line.tasks[0].fields['epoch']}  iter {done}/{runner.max_iters}"
