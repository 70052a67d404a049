from __future__ import annotations

import signal
from collections.abc import Iterator
from importlib import import_module

import pytest
import torch
from mmengine.config import Config

from tests.gloo_pool import GlooPool


def pytest_sessionstart() -> None:
    """Under ``nohup``, or in a shell's background, signals are ignored; what is started here is
    sent some.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def run_distributed() -> Iterator[GlooPool]:
    """``run_distributed(fn, world_size, *args)``: results of a module-level fn, by rank.

    At most four ranks, one gloo group per call, single-threaded. A rank's failure or silence
    (``timeout`` seconds, 120 by default) raises with every rank's traceback.
    """
    pool = GlooPool()
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def _quick_runs() -> Iterator[None]:
    """Runs draw nothing and do not lay out their config, which takes longer than training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Config, "pretty_text", property(lambda cfg: str(cfg.to_dict())))
        patch.setattr(import_module("mvssl.apis.train"), "write_views", lambda *_: None)
        patch.setattr(import_module("mvssl.report.outputs"), "plot_curves", lambda *_, **__: None)
        yield


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a launcher, or a test before this one, left in the environment says nothing here."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
