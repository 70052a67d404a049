"""Whatever is wrong with what the user gave: one clear message, status 2, nothing written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from mvssl.apis import TrainOptions
from mvssl.apis.resume import described
from mvssl.datasets import Digits
from tests.hostile import write_hostile
from tests.mini import ROOT, prepared, train_cli, tree, write_config

BATCH = "train_dataloader.batch_size"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mini config; the working directory is where default outputs would go."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return write_config(tmp_path / "configs")


def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, *argv: object) -> str:
    """The message on a refusal, after checking that it is one and that nothing was written."""
    before = tree(tmp_path)
    assert train_cli(*argv) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: ")
    assert "Traceback" not in told.err
    assert told.out == ""
    assert tree(tmp_path) == before
    return told.err


def test_a_missing_config(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    near = config.with_name("mini_byol_er_vi.py")
    told = refused(capsys, tmp_path, near)
    assert f"There is no config {near}; did you mean '{config}'?" in told
    told = refused(capsys, tmp_path, tmp_path / "nowhere" / "a.py")
    assert "give the path of a file" in told


FAULTS: list[tuple[str, str]] = [
    ("val_cfg = dict()", "held-out images are measured by evaluation = dict("),
    ("modle = dict()", r"'modle' is no name that a config knows"),
    ("model['head'] = dict(type='ErHaed')", "'ErHaed' is not in the registry HEADS; did you mean"),
    ("model['backbone']['name'] = 'vit_tyni_patch16_224'", "has no model 'vit_tyni_patch16_224'"),
    ("model['backbone']['model_args']['depht'] = 3", "timm cannot build"),
    ("model['neck']['hiden_channels'] = 3", "MLP takes no 'hiden_channels'; did you mean"),
    ("model['data_preprocessor'] = dict(views='gentel')", "no view set 'gentel'"),
    ("optim_wrapper = dict(optimizer=dict(type='AdmaW'))", "'AdmaW' is not in the registry"),
    ("optim_wrapper = dict(optimizer=dict(learning_rate=1.0))", "takes no 'learning_rate'"),
    ("param_scheduler = dict(warmup=3)", "WarmupCosineLR takes no 'warmup'"),
    ("param_scheduler = dict(warmup_epochs=-1)", "warmup_epochs is a number that is not negative"),
    ("train_cfg = dict(max_epoch=3)", "takes no 'max_epoch'"),
    ("train_cfg = dict(max_epochs=0)", "train_cfg: max_epochs is an integer and at least 1, got 0"),
    ("train_cfg = dict(max_epochs='ten')", "takes a whole number here, got 'ten'"),
    ("model['neck']['out_channels'] = '12B'", "MLP takes a whole number here, got '12B'"),
    ("model['neck']['out_channels'] = 0", "out_channels is an integer and at least 1, got 0"),
    ("model['data_preprocessor'] = None", "model.data_preprocessor is missing"),
    ("model['neck'] = dict(_delete_=True, type='MLP', hidden_channels=8)", "needs 'out_channels'"),
    ("default_hooks = dict(teacher=None)", "model.teacher is moved by TeacherHook"),
    ("train_cfg = dict(by_epoch=False)", "a run is counted in epochs"),
    (
        "optim_wrapper = dict(optimizer=dict(lr=-1.0))",
        "lr is a number that is not negative (0 to 10000), got -1.0",
    ),
    ("train_dataloader = dict(dataset=dict(split='tain'))", "split must be one of"),
    ("train_dataloader = dict(batch_size=0)", "batch_size is a positive number"),
    (
        "train_dataloader = dict(batch_size=5000)",
        "batch_size is 5000, but the data set holds 1,437",
    ),
    ("train_dataloader = dict(num_workers=-1)", "num_workers is an integer and at least 0, got -1"),
    ("default_hooks = dict(teacher=dict(type='TeecherHook'))", "'TeecherHook' is not in the reg"),
    ("evaluation = dict(evaluators=dict(knn=dict(n=3)))", "KNN takes no 'n'"),
    ("evaluation = dict(evaluators=dict(knn=dict(k=0)))", "KNN: k is an integer and at least 1"),
    ("evaluation = dict(interval=0)", "EvaluationHook: interval is an integer and at least 1"),
    ("custom_imports = dict(imports=['no_such_package_of_mine'])", "no_such_package_of_mine"),
    ("1 / 0", "cannot be read: ZeroDivisionError"),
    ("model = dict(", "cannot be read: SyntaxError"),
]


@pytest.mark.parametrize(("line", "message"), FAULTS, ids=[line for line, _ in FAULTS])
def test_a_fault_in_the_config(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    config.write_text(config.read_text() + "\n" + line + "\n")
    told = refused(capsys, tmp_path, config)
    assert message in told
    assert str(config) in told


def test_a_base_that_is_not_there(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text("_base_ = ['./missing_base.py']\n")
    told = refused(capsys, tmp_path, config)
    assert str(config) in told
    assert "missing_base.py" in told


def test_all_faults_are_told_at_once(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with config.open("a") as file:
        file.write(
            "model['neck']['hiden_channels'] = 3\n"
            "model['head'] = dict(type='ErHaed')\n"
            "evaluation = dict(evaluators=dict(knn=dict(n=3)))\n"
            "train_dataloader['batch_size'] = 5000\n"
            "sede = 1\n"
            "_helper = 'of my own, which is no fault'\n"
        )
    told = refused(capsys, tmp_path, config)
    assert "has 5 faults:" in told
    for words in ("hiden_channels", "'ErHaed'", "takes no 'n'", "holds 1,437 images", "'sede'"):
        assert words in told
    assert told.count("\n  - ") == 5


def test_arguments_of_another_head_are_told_to_be_inherited(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    native = write_config(
        tmp_path / "configs", "byol_vit.py", "model['head'] = dict(type='ERHead')\n"
    )
    told = refused(capsys, tmp_path, native)
    assert "model.head.loss: ERHead takes no 'loss'" in told
    assert "did you forget _delete_=True?" in told


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("model.hed.x=1", "model.hed.x: there is no 'model.hed'; did you mean 'head'?"),
        ("model.head.kapa=1", "model.head.kapa: model.head has no 'kapa'; did you mean 'kappa'?"),
        ("trian_cfg.max_epochs=1", "there is no 'trian_cfg'; did you mean 'train_cfg' or"),
        ("custom_hooks.3.x=1", "custom_hooks"),
        ("nonsense=1", "has no 'nonsense'"),
        ("train_cfg.max_epochs", "takes pairs like "),
        ("model.head.kappa=-1", "kappa"),
        ("model.head.kappa=warm", "model.head.kappa: ERHead takes a number here, got 'warm'"),
    ],
)
def test_a_fault_in_the_options(
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    option: str,
    message: str,
) -> None:
    assert message in refused(capsys, tmp_path, config, "--cfg-options", option)


def test_an_unknown_option_of_the_command_line(config: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        train_cli(config, "--wrok-dir", "x")
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--wrok-dir", "x"], "there is no option --wrok-dir; did you mean '--work-dir'?"),
        (["--objective", "ER"], "--objective is one of native, er, got 'ER'; did you mean 'er'?"),
        (["--seed", "x"], "argument --seed: it is a whole number, got 'x'"),
        (["lr=0.1"], "'lr=0.1' stands alone: values of the config follow --cfg-options."),
        (["other.py"], "'other.py' is too much: one CONFIG is given"),
    ],
    ids=" ".join,
)
def test_a_slip_of_the_pen_on_the_command_line(
    config: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        train_cli(config, *words)
    assert caught.value.code == 2
    text = capsys.readouterr().err
    assert text.startswith(f"error: {told}")
    assert text.count("\n") == 1


def test_no_config_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        train_cli("--cfg-options", "train_cfg.max_epochs=1", "configs/byol_vit.py")
    assert caught.value.code == 2
    assert "CONFIG first, before the options" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("lr=0.1", "did you mean 'optim_wrapper.optimizer.lr'"),
        ("epochs=5", "did you mean 'train_cfg.max_epochs'"),
        ("batch_size=8", "did you mean 'train_dataloader.batch_size'"),
        ("kappa=2", "did you mean 'model.head.kappa'"),
        ("momentum=0.9", "did you mean 'model.teacher.momentum'"),
        ("temperature=0.1", "'evaluation.evaluators.knn.temperature'"),
        ("weight_decay=0.1", "did you mean 'optim_wrapper.optimizer.weight_decay'"),
        ("model.kappa=2", "model has no 'kappa'; did you mean 'model.head.kappa'"),
        ("optim_wrapper.optimizer.lr=fast", "optimizer.lr: AdamW takes a number here, got 'fast'."),
        ("optim_wrapper.optimizer.lr='0.1'", "got '0.1'; leave out the quotes."),
        ("seed=3", "the config has no 'seed': give --seed N instead."),
        ("work_dir=here", "give --work-dir DIR instead."),
        ("load_from=x.pth", "give model.backbone.checkpoint, or --resume for a run"),
        ("custom_imports.imports=['no_such_package']", "no_such_package"),
        ("optim_wrapper.accumulative_counts=0", "is an integer and at least 1, got 0."),
        ("optim_wrapper.optimizer.type=Nothing", "it holds 'LARS', 'ASGD'"),
    ],
)
def test_the_full_path_and_the_kind_are_told(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, message: str
) -> None:
    assert message in refused(capsys, tmp_path, config, "--cfg-options", option)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"_base_ = ['./chained.py']", "_base_ goes round in a circle (chained.py -> chained.py)"),
        (b"_base_ = ['./second.py']", "goes round in a circle (chained.py -> second.py -> chained"),
        (b"_base_ = ['./mini_byol_er_vi.py']", "is not there; did you mean"),
        (b"_base_ = ['.']", "is a folder"),
        (b"_base_ = 3", "_base_ is the path of a config or a list of such paths, got 3"),
        (b"name = 'a'\n_base_ = [name]", "_base_ cannot be worked out (NameError"),
        (b"_base_ = ['./chained' + '.py']", "_base_ goes round in a circle"),
        (b"\x89PNG\r\n\x1a\n", "is no text in UTF-8 (byte 0)"),
        ("x = 'é'".encode("latin-1"), "is no text in UTF-8 (byte 5)"),
        ("x = 1".encode("utf-16"), "is no text in UTF-8"),
        (b"\xef\xbb\xbfx = 1", "begins with a byte order mark"),
        (b"x = 1\0", "cannot be read: SyntaxError"),
        (b"x = [1,\ny = 2", "cannot be read: SyntaxError in line"),
        (b"\n# nothing yet\n", "is empty: begin with _base_"),
        (b"import sys\nsys.exit(3)", "ends the program"),
    ],
    ids=lambda part: repr(part)[:30] if isinstance(part, bytes) else "",
)
def test_a_file_that_is_no_config(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    file = config.with_name("chained.py")
    file.write_bytes(content)
    config.with_name("second.py").write_text("_base_ = ['./chained.py']")
    told = refused(capsys, tmp_path, file)
    assert message in told
    assert "chained.py" in told
    assert told.count("\n") == 1


def test_a_folder_is_no_config(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refused(capsys, tmp_path, config.parent)
    assert f"{config.parent} is a folder: give one of its configs: '{config}'." in told
    told = refused(capsys, tmp_path, "C:\\Users\\me\\config.py")
    assert "write its path with / between folders" in told


def test_an_objective_that_the_config_has_not(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more in ("", "er_head = None\n"):
        config.write_text("model = dict(type='MultiView')\n" + more)
        told = refused(capsys, tmp_path, config, "--objective", "er")
        assert "has no er_head to put in the place of model.head" in told


def test_data_that_are_not_there(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing, empty, file = tmp_path / "missing", tmp_path / "empty", tmp_path / "a.txt"
    empty.mkdir()
    file.write_text("no image")
    assert f"There is no folder {missing}" in refused(capsys, tmp_path, config, "--data", missing)
    assert f"no images in {empty}" in refused(capsys, tmp_path, config, "--data", empty)
    assert f"{file} is a file" in refused(capsys, tmp_path, config, "--data", file)
    assert "give --data too" in refused(capsys, tmp_path, config, "--labels")


def test_a_batch_larger_than_the_data(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos(tmp_path / "data", 10)
    told = refused(capsys, tmp_path, config, "--data", tmp_path / "data")
    assert "batch_size is 256, but the data set holds 10 images" in told
    assert "--batch-size 4" in told


def test_labels_that_are_not_there(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos(tmp_path / "data", 10)
    argv = (config, "--data", tmp_path / "data", "--labels", "--cfg-options", f"{BATCH}=4")
    assert "10 images lie outside of them" in refused(capsys, tmp_path, *argv)


def test_a_work_dir_that_cannot_be_written(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("a file")
    folder = tmp_path / "file" / "runs"
    told = refused(capsys, tmp_path, config, "--work-dir", folder)
    assert f"Cannot write into the work dir {folder}: " in told
    assert "--work-dir" in told
    told = refused(capsys, tmp_path, config, "--work-dir", tmp_path / "file")
    assert "Cannot write into the work dir" in told


def test_nothing_to_resume(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "There is no checkpoint in" in refused(capsys, tmp_path, config, "--resume")
    argv = (config, "--resume", tmp_path / "epoch_3.pth")
    assert f"There is no checkpoint {tmp_path / 'epoch_3.pth'}" in refused(capsys, tmp_path, *argv)
    told = refused(capsys, tmp_path, config, "--resume", tmp_path)
    assert "is a folder, and --resume takes a file: to go on with its newest" in told
    new = ("--work-dir", tmp_path / "new")
    assert "There is no checkpoint in" in refused(capsys, tmp_path, config, *new, "--resume")


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle"])
@pytest.mark.parametrize("way", ["file", "file, new folder", "work dir", "newest", "backbone"])
def test_a_hostile_checkpoint_never_runs(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, way: str
) -> None:
    trap = tmp_path / "the-code-ran"
    run = tmp_path / "here" / "work_dirs" / config.stem / "20250101_000000"
    run.mkdir(parents=True)
    file = run / "epoch_1.pth"
    write_hostile(file, trap, kind)
    (run / "last_checkpoint").write_text(str(file))
    (run / "summary.json").write_text("an earlier result")
    argv = {
        "file": ("--resume", file),
        "file, new folder": ("--resume", file, "--work-dir", tmp_path / "new"),
        "work dir": ("--work-dir", run, "--resume"),
        "newest": ("--resume",),
        "backbone": ("--cfg-options", f"model.backbone.checkpoint={file}"),
    }[way]
    told = refused(capsys, tmp_path, config, *argv)
    assert "epoch_1.pth" in told
    assert not trap.exists()


def _checkpoint(**content: Any) -> dict[str, Any]:
    optimizer: dict[str, Any] = {"state": {}, "param_groups": []}
    shares: dict[str, Any] = {"hooks": {}, "random": [], "scalars": [], "gradients": []}
    return {"meta": {}, "optimizer": optimizer, "history": {"series": {}}, **shares, **content}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"notes", "is not a checkpoint, or it is damaged"),
        ({"w": torch.ones(2)}, "cannot be resumed, it lacks gradients, history, hooks, "),
        (_checkpoint(state_dict={"neck.w": torch.ones(2)}), "are not this model's (missing: "),
        (_checkpoint(state_dict={}) | {"meta": 3}, "its meta is of kind int, not a dict"),
    ],
    ids=["no checkpoint", "weights alone", "another model", "meta of another kind"],
)
@pytest.mark.parametrize("place", ["new", "run"])
def test_a_checkpoint_that_is_not_this_runs(
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: Any,
    message: str,
    place: str,
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    file = run / "epoch_1.pth"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        if content.get("meta") == {}:
            options = TrainOptions(str(config))
            run_so_far = {"epoch": 1, "iter": 5, "max_epochs": 2, "steps_per_epoch": 5}
            rest = {"epoch_images": 0, "epoch_means": {}, "seconds": 1.0}
            rest |= {"stop_training": False, "world_size": 1, "seed": 0}
            its_own = described(options, prepared(options))
            content = {**content, "meta": {**run_so_far, **rest, **its_own}}
        torch.save(content, file)
    (run / "views.png").write_text("an earlier result")
    argv = (config, "--resume", file, "--work-dir", tmp_path / place)
    told = refused(capsys, tmp_path, *argv)
    assert str(file) in told
    assert message in told


def photos(folder: Path, number: int, corrupt: int = 0) -> list[Path]:
    """Files of digits, 24 pixels; the last ``corrupt`` of them cannot be read."""
    folder.mkdir(parents=True)
    digits = Digits("all", 24)
    files = [folder / f"{i:03d}.png" for i in range(number)]
    for i, file in enumerate(files):
        cv2.imwrite(str(file), np.roll(digits.read(i), i, axis=0))
    for file in files[number - corrupt :]:
        file.write_bytes(b"no image")
    return files[number - corrupt :]


SMALL = ("--cfg-options", "train_cfg.max_epochs=1", f"{BATCH}=8")


def test_a_corrupt_image_is_replaced_and_named_once(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bad,) = photos(tmp_path / "data", 16, corrupt=1)
    options = ("--cfg-options", "train_cfg.max_epochs=2", f"{BATCH}=8")
    argv = (config, "--data", tmp_path / "data", "--work-dir", tmp_path / "run", *options)
    assert train_cli(*argv) == 0
    told = capsys.readouterr().out
    assert told.count(f"{bad} cannot be read as an image") == 1
    assert (tmp_path / "run" / "train.log").read_text().count(str(bad)) == 1
    assert "made for digits" in told
    assert "no labels (add --labels" in (tmp_path / "run" / "summary.json").read_text()


def test_too_many_corrupt_images_stop_the_run(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = photos(tmp_path / "data", 16, corrupt=4)
    argv = (config, "--data", tmp_path / "data", "--work-dir", tmp_path / "run", *SMALL)
    assert train_cli(*argv) == 2
    told = capsys.readouterr().err
    assert "error: 4 of 16 images cannot be read" in told
    log = (tmp_path / "run" / "train.log").read_text()
    assert all(str(file) in log for file in bad)
    assert not (tmp_path / "run" / "summary.json").exists()


def test_photos_with_labels_are_measured(tmp_path: Path) -> None:
    for name in ("left", "right"):
        photos(tmp_path / "data" / name, 10)
    more = (
        "model['backbone']['model_args'] = dict(img_size=32, patch_size=8, embed_dim=16, depth=1, "
        "num_heads=2)\nmodel['data_preprocessor'] = dict(size=32)\n"
        "train_dataloader = dict(num_workers=0)\n"
    )
    config = write_config(tmp_path / "configs", "photos/byol_er_vit_96.py", more)
    argv = (config, "--data", tmp_path / "data", "--labels", "--work-dir", tmp_path / "run")
    assert train_cli(*argv, *SMALL) == 0
    summary = (tmp_path / "run" / "summary.json").read_text()
    assert '"knn_top1": null' not in summary
    assert '"knn_top1_pixels": null' not in summary


def test_two_processes_stop_together(tmp_path: Path) -> None:
    """Real ones: half of the corrupt files is seen by each."""
    photos(tmp_path / "data", 16, corrupt=4)
    config = write_config(tmp_path / "configs")
    torchrun = shutil.which("torchrun", path=str(Path(sys.executable).parent))
    assert torchrun is not None
    command = [torchrun, "--standalone", "--nproc-per-node", "2", "tools/train.py", config]
    command += ["--launcher", "pytorch", "--data", tmp_path / "data"]
    command += ["--work-dir", tmp_path / "run", *SMALL]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert done.stderr.count("error: 4 of 16 images cannot be read") == 1
    assert "exitcode  : 2" in done.stderr.replace("exitcode   :", "exitcode  :")
    assert not (tmp_path / "run" / "summary.json").exists()


WITHOUT_OPENCV = """
import importlib.abc, sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "cv2":
            raise ImportError("libGL.so.1: cannot open shared object file: No such file")

sys.meta_path.insert(0, Missing())
sys.argv = ["train.py", "configs/byol_er_vit.py"]
import runpy
runpy.run_path("tools/train.py", run_name="__main__")
"""


def test_without_opencvs_system_libraries_one_sentence_says_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_OPENCV],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "libGL.so.1" in line
    assert "apt-get install -y libgl1 libglib2.0-0" in line


def test_half_an_option_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        train_cli(write_config(tmp_path), "--objectiv", "er")
    assert caught.value.code == 2
    told = capsys.readouterr().err
    assert told == "error: there is no option --objectiv; did you mean '--objective'?\n"
