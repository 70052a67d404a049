"""What a run needs is read once and built once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mvssl.apis import TrainOptions, train
from mvssl.checkpoint import store
from mvssl.datasets import Digits
from mvssl.engine import WarmupCosineLR
from mvssl.models import MultiView
from mvssl.registry import DATASETS, MODELS, OPTIMIZERS, PARAM_SCHEDULERS
from tests.mini import write_config

BUILT: Counter[str] = Counter()


class CountedDigits(Digits):
    def __init__(self, split: str = "train", size: int = 32) -> None:
        BUILT["data set"] += 1
        super().__init__(split, size)


class CountedModel(MultiView):
    def __init__(
        self,
        backbone: dict[str, Any],
        neck: dict[str, Any],
        head: dict[str, Any],
        predictor: dict[str, Any] | None = None,
        teacher: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
    ) -> None:
        BUILT["model"] += 1
        super().__init__(
            backbone, neck, head, predictor, teacher, data_preprocessor=data_preprocessor
        )


class CountedSGD(torch.optim.SGD):
    def __init__(self, params: Any, lr: float = 0.1, weight_decay: float = 0.0) -> None:
        BUILT["optimiser"] += 1
        super().__init__(params, lr=lr, weight_decay=weight_decay)


class CountedCosine(WarmupCosineLR):
    def __init__(self, optimizer: Any, total_iters: int, iters_per_epoch: int) -> None:
        BUILT["schedule"] += 1
        super().__init__(optimizer, total_iters, iters_per_epoch, warmup_epochs=1)


CONFIG = """
_mark = __import__('tempfile').mkdtemp(dir={diary!r})
train_dataloader['dataset'] = dict(_delete_=True, type='CountedDigits')
model['type'] = 'CountedModel'
optim_wrapper = dict(optimizer=dict(_delete_=True, type='CountedSGD', lr=0.1))
param_scheduler = dict(_delete_=True, type='CountedCosine')
"""


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    pairs: list[tuple[Any, type]] = [(DATASETS, CountedDigits), (MODELS, CountedModel)]
    pairs += [(OPTIMIZERS, CountedSGD), (PARAM_SCHEDULERS, CountedCosine)]
    for registry, one in pairs:
        registry.register_module(module=one)
    BUILT.clear()
    (tmp_path / "diary").mkdir()  # in which every execution of the config leaves a folder
    yield write_config(tmp_path, "byol_vit.py", CONFIG.format(diary=str(tmp_path / "diary")))
    for registry, one in pairs:
        registry.module_dict.pop(one.__name__)


def test_config_and_checkpoint_are_read_once_and_parts_are_built_once(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    load = store.load_checkpoint

    def counted(path: Any, *arguments: Any) -> dict[str, Any]:
        opened.append(Path(path))
        return load(path, *arguments)

    monkeypatch.setattr(store, "load_checkpoint", counted)
    first = tmp_path / "first"
    train(TrainOptions(str(config), work_dir=str(first), cfg_options={"train_cfg.max_epochs": 1}))
    assert len(list((tmp_path / "diary").iterdir())) == 1
    assert opened == []
    assert BUILT == {"data set": 1, "model": 1, "optimiser": 1, "schedule": 1}
    last = first / "epoch_1.pth"
    train(TrainOptions(str(config), work_dir=str(tmp_path / "second"), resume=str(last)))
    assert len(list((tmp_path / "diary").iterdir())) == 2
    assert opened == [last]
    assert BUILT == {"data set": 2, "model": 2, "optimiser": 2, "schedule": 2}
