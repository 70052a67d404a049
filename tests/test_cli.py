"""The command ``mvssl``, in a checkout and from a wheel in an empty folder."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mvssl import cli
from mvssl.apis import TrainOptions
from mvssl.errors import UserError
from mvssl.process.command import resume_command
from mvssl.shipped import shipped_config, shipped_names
from tests.mini import ROOT


def test_every_command_line_is_a_command_with_a_line_of_help(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = {file.stem for file in (ROOT / "tools").glob("*.py")}
    assert set(cli.commands()) == names
    assert cli.run(["--help"]) == 0
    shown = capsys.readouterr().out
    for name, text in cli.commands().items():
        assert len(text) > 10
        assert f"  {name} " in shown
        assert text in shown


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ([], 2, "usage: mvssl COMMAND"),
        (["--version"], 0, "mvssl "),
        (["trian"], 2, "there is no command trian; did you mean 'train'?"),
        (["train", "byol_er_vt"], 2, "did you mean 'byol_er_vit'"),
        (["train", "photos/dino_smal"], 2, "'photos/dino_small'"),
        (["train", "../setup"], 2, "There is no config ../setup"),
    ],
)
def test_words_that_are_no_command(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: list[str],
    status: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["mvssl", *words])
    assert cli.run(words) == status
    captured = capsys.readouterr()
    assert said in captured.out + captured.err
    assert "Traceback" not in captured.err


def test_configs_are_named_without_their_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = shipped_names()
    assert {"byol_er_vit", "photos/dino_small", "imagenet/mocov3_vits16"} <= set(names)
    assert not [name for name in names if name.startswith("_base_")]
    monkeypatch.chdir(tmp_path)
    assert TrainOptions("byol_er_vit").config == str(ROOT / "configs/byol_er_vit.py")
    assert shipped_config("byol_er_vit.py") == ROOT / "configs/byol_er_vit.py"
    (tmp_path / "byol_er_vit.py").write_text("")
    assert TrainOptions("byol_er_vit.py").config == "byol_er_vit.py"  # what is there comes first
    assert shipped_config("../setup") is None
    with pytest.raises(UserError):
        TrainOptions("")


def test_the_command_that_resumes_is_the_one_that_was_typed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("MVSSL_COMMAND", "TORCHELASTIC_RUN_ID", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    script = ["/venv/bin/python", "/venv/bin/mvssl", "train", "byol_er_vit"]
    assert resume_command(script, "w") == shlex.join([*script, "--resume", "--work-dir", "w"])
    (tmp_path / "mvssl").write_text("")
    (tmp_path / "mvssl").chmod(0o755)
    typed = ["/venv/bin/python", str(tmp_path / "mvssl"), "train", "byol_er_vit"]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert resume_command(typed, "w") == "mvssl train byol_er_vit --resume --work-dir w"
    monkeypatch.setenv("PATH", str(tmp_path / "elsewhere"))  # the name alone would not find it
    assert resume_command(typed, "w") == shlex.join([*typed, "--resume", "--work-dir", "w"])
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("WORLD_SIZE", "2")
    module = ["/venv/bin/python", "-u", "-m", "mvssl", "train", "my.py"]
    expected = "torchrun --nproc-per-node 2 -m mvssl train my.py --resume --work-dir w"
    assert resume_command(module, "w") == expected


def test_a_wheel_trains_and_evaluates_in_an_empty_folder(tmp_path: Path) -> None:
    wheels, package, empty = (tmp_path / name for name in ("wheels", "package", "empty"))
    empty.mkdir()
    # Built from a copy: building leaves folders behind.
    copy = tmp_path / "source"
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    ).stdout
    if not files:
        pytest.skip("not in a checkout, so it is not known what belongs to the source")
    for name in files.decode().strip("\0").split("\0"):
        if name.split("/")[0] in ("mvssl", "configs", "tools", "requirements") or "/" not in name:
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    pip = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(wheels),
        str(copy),
    ]
    built = subprocess.run(pip, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = wheels.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(package)
    environment = {**os.environ, "PYTHONPATH": str(package), "OMP_NUM_THREADS": "1"}

    def mvssl(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "mvssl", *words],
            cwd=empty,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    where = "import mvssl; print(mvssl.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", where], cwd=empty, env=environment, capture_output=True, check=True
    )
    assert found.stdout.decode().startswith(str(package))
    small = ["model.backbone.model_args.depth=1", "train_cfg.max_epochs=1"]
    mvssl("train", "byol_er_vit", "--work-dir", "run", "--cfg-options", *small)
    assert (empty / "run/backbone.safetensors").is_file()
    assert (empty / "run/report.html").is_file()  # whose style and script come with the package
    assert "evaluate" in mvssl("--help")
