from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from mvssl.apis import TrainOptions, workdir
from mvssl.apis.workdir import WorkDir, config_name, holds_run
from mvssl.checkpoint import save_checkpoint
from mvssl.errors import UserError
from tests.gloo_pool import GlooPool
from tests.mini import tree

Options = partial(TrainOptions, "configs/byol_er_vit.py")
META = {
    **{"epoch_images": 0, "seed": 0, "max_epochs": 9, "steps_per_epoch": 10, "world_size": 1},
    **{"epoch_means": {}, "seconds": 1.0, "stop_training": False},
    **{"names": torch.arange(2), "values": {}},
    "options": {
        **{"amp": False, "labels": False, "cfg_options": {}, "data": None},
        **{"config": "a.py", "folder": "/", "objective": "native", "backbone": None},
        **{"batch_size": None, "image_size": None, "fitted": {}},
    },
}


def save(path: str | Path, epoch: int = 1, steps: int = 10) -> Path:
    """A checkpoint of a run with so many steps an epoch."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    meta = {**META, "epoch": epoch, "iter": epoch * steps}
    optimizer: dict[str, object] = {"state": {}, "param_groups": []}
    content = {"state_dict": {}, "meta": meta, "optimizer": optimizer, "history": {"series": {}}}
    shares: dict[str, object] = {"random": [{}], "scalars": [{}], "gradients": [{}], "hooks": {}}
    save_checkpoint({**content, **shares, "filling": torch.randn(500)}, path)
    return Path(path)


def begin(options: TrainOptions) -> tuple[Path | None, Path]:
    """The checkpoint and the folder that a run would go on with."""
    with WorkDir(options) as place:
        checkpoint = place.find_checkpoint()
        return None if checkpoint is None else checkpoint.path, place.make(checkpoint)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("configs/byol_vit.py", "byol_vit"),
        ("configs/photos/byol_vit.py", "photos/byol_vit"),
        ("/a/configs/b/configs/c.py", "c"),
        ("my_own.py", "my_own"),
    ],
)
def test_runs_are_named_after_their_config(path: str, name: str) -> None:
    assert config_name(path) == name


def test_by_default_every_run_has_a_folder_of_its_own() -> None:
    folders = [begin(Options())[1] for _ in range(3)]
    assert len(set(folders)) == 3
    for folder in folders:
        assert folder.is_dir()
        assert folder.parent == Path("work_dirs/byol_er_vit")
        assert re.fullmatch(r"\d{8}_\d{6}(-\d+)?", folder.name)
        assert list(folder.iterdir()) == []


def test_objective_and_images_are_in_the_name_of_a_run() -> None:
    options = Options(objective="er", data="my/Flowers of 2024, é/")
    assert re.fullmatch(r"\d{8}_\d{6}_er_Flowers-of-2024-", begin(options)[1].name)
    assert re.fullmatch(r"\d{8}_\d{6}_main", begin(Options(data=Path("/x/main")))[1].name)  # type: ignore[arg-type]


@pytest.mark.parametrize("trace", ["summary.json", "last_checkpoint", "epoch_3.pth"])
def test_a_folder_that_holds_a_run_is_refused(trace: str) -> None:
    Path("run").mkdir()
    assert not holds_run(Path("run"))
    Path("run", trace).touch()
    if trace == "last_checkpoint":
        Path("run/epoch_1.pth").touch()
    with pytest.raises(UserError, match="run holds a run already: add --resume"):
        begin(Options(work_dir="run"))


@pytest.mark.parametrize("name", ["notes.txt", "train.log", "views.png"])
def test_a_folder_with_other_things_or_a_run_that_saved_nothing_is_taken(name: str) -> None:
    Path("run").mkdir()
    Path("run", name).touch()
    assert begin(Options(work_dir="run")) == (None, Path("run"))


def test_resume_takes_the_newest_run_that_has_a_checkpoint() -> None:
    home = Path("work_dirs/byol_er_vit")
    for age, name in enumerate(("c", "a")):
        file = save(home / name / "epoch_2.pth", 2)
        os.utime(file, (1000 + age, 1000 + age))
    (home / "b").mkdir()  # the newest was interrupted before its first checkpoint
    os.utime(home / "a", (1, 1))
    assert begin(Options(resume=True)) == (home / "a" / "epoch_2.pth", home / "a")


def test_resume_takes_the_highest_epoch_and_passes_over_other_files() -> None:
    for epoch in (10, 9):
        save(f"run/epoch_{epoch}.pth", epoch)
    Path("run/epoch_best.pth").touch()
    assert begin(Options(resume=True, work_dir="run"))[0] == Path("run/epoch_10.pth")


def test_a_fresh_run_has_no_checkpoint() -> None:
    assert begin(Options(work_dir="."))[0] is None


def test_resume_from_a_file_goes_on_beside_it_or_in_the_folder_given() -> None:
    file = save("old/epoch_2.pth", 2)
    assert begin(Options(resume=str(file))) == (file, Path("old"))
    assert begin(Options(resume=str(file), work_dir="new")) == (file, Path("new"))
    assert Path("new").is_dir()


def test_a_path_is_what_its_text_is() -> None:
    first = save("one/epoch_1.pth")
    os.utime(first, (1, 1))
    save("work_dirs/byol_er_vit/newer/epoch_2.pth", 2)
    options = TrainOptions(Path("configs/byol_er_vit.py"), resume=first)  # type: ignore[arg-type]
    assert begin(options) == (first, Path("one"))
    paths: dict[str, Any] = {name: Path(name) for name in ("work_dir", "data", "init_from")}
    texts: dict[str, Any] = {name: name for name in paths}
    assert Options(**paths) == Options(**texts)
    with pytest.raises(UserError, match=r"seed is a whole number.*got PosixPath"):
        Options(seed=Path("4"))  # type: ignore[arg-type]


def test_a_folder_with_another_run_is_not_gone_on_in() -> None:
    file = save("one/epoch_1.pth")
    save("two/epoch_1.pth")
    before = tree(Path())
    with pytest.raises(UserError, match="two holds another run than one/epoch_1"):
        begin(Options(resume=str(file), work_dir="two"))
    assert tree(Path()) == before
    # The same folder by another name is no other run.
    Path("link").symlink_to("one")
    assert begin(Options(resume=str(file), work_dir="link"))[0] == file


def test_what_was_saved_beyond_the_checkpoint_is_set_aside(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for epoch in (1, 2, 3):
        save(f"run/epoch_{epoch}.pth", epoch)
    save("run/iter_15.pth")
    Path("run/iter_5.pth").touch()
    Path("run/last_checkpoint").write_text("run/epoch_3.pth")
    third = Path("run/epoch_3.pth").read_bytes()
    begin(Options(resume="run/epoch_1.pth"))
    told = capsys.readouterr().out
    assert (
        "note: going on from epoch_1.pth; what was saved beyond it is kept in run/set_aside" in told
    )
    aside = {p.name for p in Path("run/set_aside").iterdir()}
    assert aside == {"epoch_2.pth", "epoch_3.pth", "iter_15.pth"}
    assert Path("run/set_aside/epoch_3.pth").read_bytes() == third
    Path("run/iter_5.pth").unlink()
    save("run/epoch_2.pth", 2)
    assert begin(Options(resume=True, work_dir="run"))[0] == Path("run/epoch_2.pth")
    begin(Options(resume="run/epoch_1.pth"))
    assert [p.name for p in Path("run/set_aside-2").iterdir()] == ["epoch_2.pth"]


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_it_taken(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for epoch in (1, 2, 3):
        save(f"run/epoch_{epoch}.pth", epoch)
    Path("run/epoch_3.pth").write_bytes(b"")
    data = bytearray(Path("run/epoch_2.pth").read_bytes())
    data[len(data) // 2] ^= 4
    Path("run/epoch_2.pth").write_bytes(data)
    with pytest.raises(
        UserError,
        match=r"epoch_2.pth is damaged \(its checksum is not that.*resume "
        "run/epoch_1.pth",
    ):
        begin(Options(resume="run/epoch_2.pth"))
    assert begin(Options(resume=True, work_dir="run"))[0] == Path("run/epoch_1.pth")
    told = capsys.readouterr().out
    for name, why in (("epoch_3", "it is empty"), ("epoch_2", "its checksum")):
        assert f"note: run/{name}.pth is damaged ({why}" in told
    # What is damaged is not in the way of what comes.
    assert {p.name for p in Path("run/set_aside").iterdir()} == {"epoch_2.pth", "epoch_3.pth"}


def test_a_run_without_an_intact_checkpoint_says_so() -> None:
    for epoch in (1, 2):
        save(f"run/epoch_{epoch}.pth", epoch).write_bytes(b"x" * epoch)
    before = tree(Path())
    with pytest.raises(UserError, match=r"No checkpoint in run is intact \(epoch_2.pth: .*epoch_1"):
        begin(Options(resume=True, work_dir="run"))
    assert tree(Path()) == before


@pytest.mark.parametrize("resume", [True, "epoch_9.pth"])
def test_nothing_to_resume(resume: bool | str) -> None:
    with pytest.raises(UserError, match="There is no checkpoint"):
        begin(Options(resume=resume))
    assert list(Path().iterdir()) == []


def test_a_place_below_a_file_cannot_be_written() -> None:
    Path("file").touch()
    with pytest.raises(
        UserError, match=r"Cannot write into the work dir file/run: Not a directory"
    ):
        begin(Options(work_dir="file/run"))


def test_what_a_killed_run_left_half_written_is_cleared() -> None:
    Path("run").mkdir()
    over = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    )
    names = [f".epoch_2.pth.{int(over.stdout)}.tmp", f".views.png.{os.getpid()}.tmp"]
    kept = [f".summary.json.{os.getppid()}.tmp", ".notes.tmp", "a.12.tmp"]
    for name in (*names, *kept):
        Path("run", name).touch()
    begin(Options(work_dir="run"))
    assert {p.name for p in Path("run").iterdir()} == set(kept)


def _choose(folder: str) -> tuple[str, str]:
    os.chdir(folder)
    chosen = begin(Options())[1]
    with pytest.raises(UserError) as caught:
        begin(Options(work_dir="file/run"))
    return str(chosen), str(caught.value)


def test_all_processes_take_the_folder_of_the_first(
    run_distributed: GlooPool, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    answers = run_distributed(_choose, 4, str(tmp_path))
    assert len(set(answers)) == 1
    assert len(list((tmp_path / workdir.ROOT / "byol_er_vit").iterdir())) == 1


def test_a_name_that_no_folder_can_have_is_refused() -> None:
    with pytest.raises(UserError, match=r"x cannot be reached \(File name too long\): give"):
        begin(Options(work_dir="x" * 300))
