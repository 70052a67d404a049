from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mvssl.config.checks import Problem, check_config, complain
from mvssl.config.components import accepted_arguments
from mvssl.config.evaluation import active_evaluators
from mvssl.config.read import load_config, parse_options, without_delete
from mvssl.errors import UserError
from mvssl.evaluation import Evaluator, Inputs, Shown
from mvssl.models.heads import ERHead
from mvssl.models.necks import Neck
from mvssl.registry import BACKBONES, DATASETS, EVALUATORS, HEADS, NECKS, Registry
from tests.mini import ROOT, write_config

CONFIGS = sorted((ROOT / "configs").glob("*.py")) + sorted((ROOT / "configs").glob("[!_]*/*.py"))
PHOTOS = ROOT / "configs" / "photos" / "byol_er_vit_96.py"
DIGITS = ROOT / "configs" / "byol_er_vit.py"


@contextmanager
def registered(registry: Registry, *classes: type) -> Iterator[None]:
    """Components of the user's own, for a while."""
    for one in classes:
        registry.register_module(module=one)
    try:
        yield
    finally:
        for one in classes:
            registry.module_dict.pop(one.__name__)


def faults(path: Path, **arguments: Any) -> list[str]:
    return texts(load_config(path, **arguments).to_dict())


def texts(cfg: dict[str, Any]) -> list[str]:
    return [problem.text for problem in check_config(cfg)]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_our_configs_have_no_faults(path: Path) -> None:
    assert len(CONFIGS) >= 4
    assert faults(path) == []
    assert faults(path, objective="er") == []


def test_objective_er_is_the_leaf_that_says_so() -> None:
    by_flag = load_config(ROOT / "configs" / "byol_vit.py", objective="er").to_dict()
    by_leaf = load_config(DIGITS).to_dict()
    assert by_flag["model"] == by_leaf["model"]
    assert isinstance(HEADS.build(by_flag["model"]["head"]), ERHead)


def test_native_is_what_the_config_says() -> None:
    assert load_config(ROOT / "configs" / "byol_vit.py").model.head.type == "PairHead"
    assert load_config(DIGITS).model.head.type == "ERHead"


def test_options_come_after_objective_and_data(tmp_path: Path) -> None:
    cfg = load_config(
        ROOT / "configs" / "byol_vit.py",
        objective="er",
        data=tmp_path,
        options={"model.head.kappa": 3.0, "train_dataloader.dataset.size": 48},
    )
    assert cfg.model.head.kappa == 3.0
    assert cfg.train_dataloader.dataset.to_dict() == {
        "type": "ImageFolder",
        "root": str(tmp_path),
        "labels": False,
        "size": 48,
        "split": "train",
    }


def test_a_merge_mark_does_not_stay() -> None:
    assert without_delete({"_delete_": True, "type": "X"}) == {"type": "X"}
    assert "_delete_" not in load_config(ROOT / "configs" / "byol_vit.py", "er").model.head


def test_a_folder_takes_the_place_of_the_digits_at_the_size_of_the_views(tmp_path: Path) -> None:
    cfg = load_config(DIGITS, data=tmp_path)
    assert cfg.train_dataloader.dataset.size == 32
    labelled = load_config(DIGITS, data=tmp_path, labels=True)
    evaluation = labelled.evaluation
    knn = evaluation.evaluators.knn
    assert (knn.k, knn.temperature, evaluation.interval) == (20, 0.07, 5)  # the protocol stays
    for dataset, split in ((evaluation.train, "train"), (evaluation.test, "test")):
        assert (dataset.type, dataset.root, dataset.labels) == ("ImageFolder", str(tmp_path), True)
        assert (dataset.split, dataset.size, dataset.crop_pct) == (split, 32, 1.0)
    assert check_config(labelled.to_dict()) == []


def test_photographs_are_kept_whole_for_views_drawn_by_workers(tmp_path: Path) -> None:
    cfg = load_config(PHOTOS, data=tmp_path, labels=True)
    assert cfg.train_dataloader.dataset.size is None
    assert cfg.evaluation.evaluators.to_dict() == {"knn": {"type": "KNN"}}
    assert cfg.evaluation.train.size == 96
    assert cfg.evaluation.train.crop_pct == 0.875
    assert check_config(cfg.to_dict()) == []


def test_a_folder_follows_overridden_sizes_and_engine(tmp_path: Path) -> None:
    size = {"model.data_preprocessor.size": 64}
    cfg = load_config(DIGITS, data=tmp_path, labels=True, options=size)
    sets = (cfg.train_dataloader.dataset, cfg.evaluation.train, cfg.evaluation.test)
    assert [dataset.size for dataset in sets] == [64, 64, 64]
    host = {**size, "model.data_preprocessor.engine": "host"}
    cfg = load_config(DIGITS, data=tmp_path, labels=True, options=host)
    assert cfg.train_dataloader.dataset.size is None
    assert (cfg.evaluation.train.size, cfg.evaluation.train.crop_pct) == (64, 0.875)


def test_overrides_of_a_folders_data_sets_win(tmp_path: Path) -> None:
    options = {
        "model.data_preprocessor.size": 64,
        "train_dataloader.dataset.size": 48,
        "train_dataloader.dataset.split": "all",
        "evaluation.train.crop_pct": 0.5,  # digits have none
        "evaluation.train.root": "elsewhere",
    }
    cfg = load_config(DIGITS, data=tmp_path, labels=True, options=options)
    assert (cfg.train_dataloader.dataset.size, cfg.train_dataloader.dataset.split) == (48, "all")
    assert (cfg.evaluation.train.root, cfg.evaluation.train.crop_pct) == ("elsewhere", 0.5)
    assert (cfg.evaluation.test.root, cfg.evaluation.test.size) == (str(tmp_path), 64)


def test_a_folder_is_trained_on_as_the_config_says_of_its_own(tmp_path: Path) -> None:
    own = "dict(_delete_=True, type='ImageFolder', root='own', split='all', test_fraction=0.5)"
    path = write_config(tmp_path, more=f"train_dataloader = dict(dataset={own})\n")
    cfg = load_config(path, data=tmp_path, labels=True)
    trained = cfg.train_dataloader.dataset
    assert (trained.root, trained.split, trained.test_fraction) == (str(tmp_path), "all", 0.5)
    assert (cfg.evaluation.train.split, cfg.evaluation.test.split) == ("train", "test")
    # Of other data sets a part has nothing to say.
    digits = write_config(tmp_path, more="train_dataloader = dict(dataset=dict(split='test'))\n")
    assert load_config(digits, data=tmp_path).train_dataloader.dataset.split == "train"


def test_what_a_folder_does_not_bring_either_is_told_once(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_config(DIGITS, data=tmp_path, labels=True, options={"evaluation.train.sise": 1})
    assert str(caught.value).count("evaluation.train has no 'sise'; did you mean 'size'?") == 1
    assert "faults" not in str(caught.value)


class Ticks(Evaluator):
    """Needs no labels."""

    def __init__(self, ticks: int = None) -> None:  # type: ignore[assignment]  # noqa: RUF013
        self.ticks = ticks

    @property
    def results(self) -> dict[str, Shown]:
        return {"ticks": Shown("ticks")}

    def run(self, inputs: Inputs) -> dict[str, float]:
        return {"ticks": float(self.ticks)}


TICKS = "evaluation['evaluators'] = dict(clock=dict(type='Ticks', ticks=None), off=None)\n"


def test_without_labels_evaluators_that_need_them_drop_out(tmp_path: Path) -> None:
    with registered(EVALUATORS, Ticks):
        path = write_config(tmp_path, more=f"evaluation = dict()\n{TICKS}")
        cfg = load_config(path, data=tmp_path)
        assert cfg.evaluation.evaluators.to_dict() == {
            "clock": {"type": "Ticks", "ticks": None},
            "off": None,
            "knn": None,
        }
        for dataset in (cfg.evaluation.train, cfg.evaluation.test):  # all images of the folder
            assert (dataset.root, dataset.labels, dataset.split) == (str(tmp_path), False, "train")
        assert list(active_evaluators(cfg)) == ["clock"]
        assert texts(cfg.to_dict()) == []  # the parameter's own default is no wrong type
        with_labels = load_config(path, data=tmp_path, labels=True)
        assert set(active_evaluators(with_labels)) == {"clock", "knn"}
        assert with_labels.evaluation.test.root == str(tmp_path)
        bad = {**cfg.to_dict()["evaluation"], "evaluators": {"x": {"type": "Ticks", "ticks": "2"}}}
        assert texts({**cfg.to_dict(), "evaluation": bad}) == [
            "evaluation.evaluators.x.ticks: Ticks takes a whole number here, got '2'; leave out "
            "the quotes."
        ]
    assert active_evaluators(load_config(DIGITS, data=tmp_path)) == {}


def test_labels_bring_nearest_neighbours_where_a_config_evaluates_nothing(tmp_path: Path) -> None:
    options = {"evaluation.evaluators.knn.k": 5, "evaluation.interval": 3}
    cfg = load_config(PHOTOS, data=tmp_path, labels=True, options=options)
    assert cfg.evaluation.evaluators.knn.to_dict() == {"type": "KNN", "k": 5}
    assert cfg.evaluation.interval == 3
    assert check_config(cfg.to_dict()) == []
    assert active_evaluators(load_config(PHOTOS, data=tmp_path)) == {}


@pytest.mark.parametrize("nothing", ["None", "dict()"])
def test_no_evaluation_is_none_or_an_empty_dict(tmp_path: Path, nothing: str) -> None:
    whole = tmp_path / "whole.py"
    load_config(DIGITS).dump(whole)
    with whole.open("a") as file:
        file.write(f"\nevaluation = {nothing}\n")
    assert faults(whole) == []
    assert active_evaluators(load_config(whole)) == {}


def test_faults_of_an_evaluation_are_told_with_near_names(tmp_path: Path) -> None:
    more = (
        "evaluation['evaluators'] = dict(near=dict(type='KNM'), knn=dict(temprature=1.0), "
        "more=dict(type='Information', kappa='warm'))\n"
        "evaluation['trian'] = dict(type='Digits')\n"
    )
    told = "\n".join(faults(write_config(tmp_path, more="evaluation = dict()\n" + more)))
    for words in (
        "evaluation.trian: EvaluationHook takes no 'trian'; did you mean 'train'?",
        "evaluation.evaluators.near: 'KNM' is not in the registry EVALUATORS; did you mean 'KNN'?",
        "evaluation.evaluators.knn.temprature: KNN takes no 'temprature'; did you mean",
        "evaluation.evaluators.more.kappa: Information takes a number here, got 'warm'.",
    ):
        assert words in told
    assert len(told.split("\n")) == 4


def test_a_folder_for_a_config_without_views(tmp_path: Path) -> None:
    path = write_config(tmp_path, more="model = dict(data_preprocessor=None)\n")
    assert load_config(path, data=tmp_path).train_dataloader.dataset.size is None
    assert "model.data_preprocessor is missing" in faults(path, data=tmp_path)[0]


def test_labels_are_those_of_data() -> None:
    with pytest.raises(UserError, match="give --data too"):
        load_config(DIGITS, labels=True)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("1e-3", 1e-3),
        ("true", True),
        ("None", None),
        ("[1, 'a']", [1, "a"]),
        ("{'x': (1, 2)}", {"x": (1, 2)}),
        ("resnet18", "resnet18"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_values_of_options_are_python_or_text(text: str, value: Any) -> None:
    assert parse_options([f"a.b={text}"]) == {"a.b": value}


@pytest.mark.parametrize("pair", ["a.b", "=3", ""])
def test_an_option_is_a_pair(pair: str) -> None:
    with pytest.raises(UserError, match=f"got '{pair}'"):
        parse_options([pair])


def test_options_reach_arguments_that_the_config_does_not_write() -> None:
    cfg = load_config(
        DIGITS,
        options={
            "model.head.estimator": "loo",
            "model.backbone.model_args.drop_path_rate": 0.1,
            "find_unused_parameters": True,
            "custom_hooks": [],
            "visualizer.vis_backends.0.type": "LocalVisBackend",
        },
    )
    assert cfg.model.head.estimator == "loo"
    assert cfg.model.backbone.model_args.drop_path_rate == 0.1
    assert cfg.visualizer.vis_backends[0].type == "LocalVisBackend"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("optim_wrapper.clip_grad.max_norm", 1.0),
        ("optim_wrapper.optimizer.betas", (0.9, 0.95)),
        ("env_cfg.cudnn_benchmark", True),
        ("compile.mode", "default"),
        ("activation_checkpointing", ["backbone"]),
        ("default_hooks.checkpoint.interval_minutes", 5.0),
        ("default_hooks.timer.type", "IterTimerHook"),
        ("model.backbone.model_args.patch_embed.bias", False),
        ("model.teacher.momentum", 0.5),
        ("evaluation.evaluators.more.type", "KNN"),
        ("model._mine", 1),
    ],
)
def test_paths_that_a_parent_takes(tmp_path: Path, path: str, value: Any) -> None:
    config = write_config(tmp_path, more="model['teacher'] = None\n")
    node: Any = load_config(config, options={path: value})
    for key in path.split("."):
        node = node[key]
    assert node == value


def test_options_may_build_on_each_other_in_any_order() -> None:
    options: dict[str, Any] = {
        "model.head.queue_size": 64,
        "model.head": {"_delete_": True, "type": "ERHead"},
    }
    for order in (options, dict(reversed(options.items()))):
        cfg = load_config(ROOT / "configs" / "byol_vit.py", options=order)
        assert cfg.model.head.type == "ERHead"
    assert options["model.head"]["_delete_"]  # what the caller gave is left alone


def test_views_of_a_list_are_reached_by_number(tmp_path: Path) -> None:
    more = "model['data_preprocessor'] = dict(views=[dict(flip=0.0), dict(flip=0.5)])\n"
    config = write_config(tmp_path, more=more)
    cfg = load_config(config, options={"model.data_preprocessor.views.1.blur": 0.5})
    assert cfg.model.data_preprocessor.views == [{"flip": 0.0}, {"flip": 0.5, "blur": 0.5}]
    with pytest.raises(UserError, match=r"no 'model\.data_preprocessor\.views\.2': .* 2 entries"):
        load_config(config, options={"model.data_preprocessor.views.2.blur": 0.5})
    with pytest.raises(UserError, match=r"model\.data_preprocessor\.views is 'gentle'"):
        load_config(DIGITS, options={"model.data_preprocessor.views.0.blur": 0.5})


def test_a_component_that_takes_anything_is_given_anything(tmp_path: Path) -> None:
    class AnyNeck(Neck):
        def __init__(self, **arguments: Any) -> None: ...

    with registered(NECKS, AnyNeck):
        path = write_config(tmp_path, more="model['neck'] = dict(_delete_=True, type='AnyNeck')\n")
        cfg = load_config(path, options={"model.neck.depth": 3, "model.neck.norm.eps": 1e-3})
        assert cfg.model.neck.to_dict() == {"type": "AnyNeck", "depth": 3, "norm": {"eps": 1e-3}}
        assert texts(cfg.to_dict()) == []


@pytest.mark.parametrize(
    "path",
    [
        "model.hed.x",
        "train_cfg.max_epoch",
        "trian_cfg.max_epochs",
        "default_hooks.informatoin.kappa",
        "custom_hooks.3.x",
        "model.neck.out_channels.x",
        "model.head.kappa_schedule.x",
    ],
)
def test_paths_that_nothing_takes(path: str) -> None:
    with pytest.raises(UserError, match="^--cfg-options: " + path):
        load_config(DIGITS, options={path: 1})


def test_several_paths_that_are_not_there_are_told_at_once() -> None:
    with pytest.raises(UserError, match="--cfg-options has 2 faults:") as caught:
        load_config(DIGITS, options={"model.hed.x": 1, "optim_wrapper.optimiser.lr": 1})
    assert "did you mean 'head'?" in str(caught.value)
    assert "did you mean 'optimizer'?" in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        ("view_options", {"flip": 0}, "model.data_preprocessor.view_options"),
        ("view_options.flip", 0, "model.data_preprocessor.view_options"),
        ("view_option.flip", 0, "model.data_preprocessor.view_options"),
        ("model.view_options.flip", 0, "model.data_preprocessor.view_options"),
        ("flip", 0, "model.data_preprocessor.view_options.flip"),
        ("crop_scale", (0.1, 1), "model.data_preprocessor.view_options.crop_scale"),
        ("views", "dino", "model.data_preprocessor.views"),
        ("backbone.name", "resnet18", "model.backbone"),
        ("num_heads", 2, "model.backbone.model_args.num_heads"),
        ("optimizer", {}, "optim_wrapper.optimizer"),
        ("lr", 1, "optim_wrapper.optimizer.lr"),
        ("model.lr", 1, "optim_wrapper.optimizer.lr"),
        ("size", 32, "model.data_preprocessor.size"),
        ("epochs", 3, "train_cfg.max_epochs"),
    ],
)
def test_a_name_in_a_wrong_place_is_told_its_own(path: str, value: Any, place: str) -> None:
    with pytest.raises(UserError, match=f"^--cfg-options: {path}: .*; did you mean .*'{place}'"):
        load_config(DIGITS, options={path: value})
    own = place + path.partition(place.rpartition(".")[2])[2]  # what follows upon the name
    if place != "train_cfg.max_epochs":
        load_config(DIGITS, options={own: value})  # where it is told to stand, it does


def test_what_the_command_line_has_and_what_nothing_has_are_told_apart() -> None:
    with pytest.raises(UserError, match="image_size': give --image-size PIXELS instead"):
        load_config(DIGITS, options={"image_size": 64})
    with pytest.raises(UserError, match=r"there is no 'qqq'\.$"):
        load_config(DIGITS, options={"qqq.flip": 64})


def test_what_is_switched_off_is_told_to_be_so() -> None:
    """It is there, and not another name for itself."""
    dino = DIGITS.parent / "dino_vit.py"
    with pytest.raises(UserError, match=r"'custom_hooks' is not given, .*: give it whole\."):
        load_config(dino, options={"custom_hooks.0.interval": 5})
    with pytest.raises(UserError, match=r"'schedules.teacher_temp' is None, .*: give it whole"):
        load_config(dino, options={"schedules.teacher_temp.end": 0.05})
    whole = {"type": "ScheduleHook", "path": "model.head.assigner.epsilon", "end": 0.05}
    found = load_config(dino, options={"schedules.teacher_temp": whole})
    assert found.schedules.teacher_temp == whole


def test_a_place_in_a_list_that_is_not_there() -> None:
    with pytest.raises(UserError, match=r"visualizer\.vis_backends\.4\.type: there is no"):
        load_config(DIGITS, options={"visualizer.vis_backends.4.type": "X"})


def test_missing_parts_of_a_config_are_named(tmp_path: Path) -> None:
    (tmp_path / "bare.py").write_text("log_level = 'INFO'\n")
    told = faults(tmp_path / "bare.py")
    assert told == [
        f"'{name}' is missing."
        for name in ("model", "optim_wrapper", "train_cfg", "train_dataloader")
    ]


def test_a_config_is_python(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("model: x")
    with pytest.raises(UserError, match=r"give a Python file \(\.py\)"):
        load_config(tmp_path / "config.yaml")


def test_arguments_that_lack_and_types_that_are_unknown(tmp_path: Path) -> None:
    path = write_config(
        tmp_path,
        more=(
            "model['head'] = dict(_delete_=True, type='PairHead')\n"
            "model['predictor'] = dict(_delete_=True, type='MPL')\n"
            "evaluation = dict(evaluators=dict(other=dict(k=3)))\n"
        ),
    )
    told = "\n".join(faults(path))
    assert "model.head: PairHead needs 'loss', which the config does not give." in told
    assert "model.predictor: 'MPL' is not in the registry NECKS" in told
    known = ", ".join(sorted(EVALUATORS.module_dict))
    assert f"evaluation.evaluators.other has no type; choose one of {known}." in told


def test_values_of_another_kind_than_the_constructor_takes(tmp_path: Path) -> None:
    path = write_config(
        tmp_path,
        more=(
            "model['neck']['num_layers'] = 2.5\n"
            "model['backbone']['pretrained'] = 'yes'\n"
            "model['backbone']['name'] = 18\n"
            "model['teacher'] = dict(momentum=True)\n"
        ),
    )
    told = "\n".join(faults(path))
    assert "model.neck.num_layers: MLP takes a whole number here, got 2.5." in told
    assert "model.backbone.pretrained: TimmBackbone takes True or False here, got 'yes'." in told
    assert "model.backbone.name: TimmBackbone takes a text here, got 18." in told
    assert "model.teacher.momentum: EMATeacher takes a number here, got True." in told


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("del model['neck']['out_channels']", "model.neck: MLP needs 'out_channels', which"),
        ("model['neck'] = None", "model: MultiView needs 'neck', which the config"),
        ("model['data_preprocessor'] = None", "model.data_preprocessor is missing"),
        ("del model['data_preprocessor']", "model.data_preprocessor is missing"),
        ("train_cfg = dict(type='IterBasedTrainLoop', max_iters=9)", "a run is counted in epochs"),
        ("train_cfg['by_epoch'] = False", "a run is counted in epochs"),
        ("optim_wrapper['optimizer'] = None", "OptimWrapper needs 'optimizer'"),
        ("train_cfg = 3", "train_cfg is a dict, got 3."),
        ("custom_hooks = dict(mine=dict(type='TeacherHook'))", "custom_hooks is a list, got {"),
        ("model = None", "'model' is missing."),
    ],
)
def test_a_fault_that_would_be_a_traceback(tmp_path: Path, line: str, told: str) -> None:
    # A config of its own: an inherited value could not be deleted.
    whole = tmp_path / "whole.py"
    load_config(DIGITS).dump(whole)
    with whole.open("a") as file:
        file.write(f"\n{line}\n")
    (fault,) = faults(whole)
    assert told in fault


def test_what_a_neighbour_gives_is_needed_elsewhere(tmp_path: Path) -> None:
    class Sized(Neck):
        def __init__(self, in_channels: int, out_channels: int, seed: int) -> None: ...

    with registered(NECKS, Sized):
        parts = "model.update(neck=dict(_delete_=True, type='Sized'), predictor=dict("
        path = write_config(tmp_path, more=parts + "_delete_=True, type='Sized'))\n")
        assert faults(path) == [
            "model.neck: Sized needs 'out_channels', 'seed', which the config does not give.",
            "model.predictor: Sized needs 'seed', which the config does not give.",
        ]


def test_components_have_a_base_class(tmp_path: Path) -> None:
    class Bare:
        def __init__(self) -> None: ...

    with registered(HEADS, Bare), registered(DATASETS, Bare), registered(BACKBONES, Bare):
        bare = "dict(_delete_=True, type='Bare')"
        more = f"model.update(backbone={bare}, head={bare})\n"
        more += f"evaluation = dict(train={bare})\n"
        see = "; see docs/custom_component.md."
        assert sorted(faults(write_config(tmp_path, more=more))) == [
            f"evaluation.train: Bare is not derived from mvssl.datasets.ImageDataset{see}",
            f"model.backbone: Bare is not derived from mvssl.models.backbones.Backbone{see}",
            f"model.head: Bare is not derived from mvssl.models.heads.Head{see}",
        ]


def test_a_problem_says_where() -> None:
    cfg = load_config(DIGITS, options={"model.head.kappa": "warm", "default_hooks": 3}).to_dict()
    assert [problem.path for problem in check_config(cfg)] == ["default_hooks", "model.head"]


def test_a_whole_number_is_a_number() -> None:
    assert faults(DIGITS, options={"model.head.kappa": 10}) == []


def test_complain_tells_one_fault_in_a_line_and_several_in_a_list() -> None:
    a, b = Problem("a", "a is wrong."), Problem("b", "b is wrong.", TypeError("cause"))
    complain("x.py", [])
    with pytest.raises(UserError, match=r"^x\.py: a is wrong\.$"):
        complain("x.py", [a, a])
    with pytest.raises(UserError, match=r"^x\.py has 2 faults:\n  - a is wrong\.\n  - b") as caught:
        complain("x.py", [a, b])
    assert caught.value.__cause__ is b.cause


def test_accepted_arguments_are_those_of_the_component() -> None:
    head = {"type": "JointHead"}
    assert accepted_arguments("model.head", head) == {"type", "loss"}
    assert accepted_arguments("model.head", {"type": "Unknown"}) is None
    assert accepted_arguments("somewhere.else", head) is None


def test_none_is_the_word_where_an_argument_takes_a_text() -> None:
    neck = {"model.neck.last_norm": None, "model.predictor.norm": None}
    cfg = load_config(DIGITS, options=neck)
    assert cfg.model.neck.last_norm == "none"
    assert cfg.model.predictor.norm == "none"
    assert faults(DIGITS, options=neck) == []


def test_none_is_none_where_an_argument_may_be_left_out() -> None:
    options = {"model.backbone.checkpoint": None, "model.predictor": None}
    cfg = load_config(DIGITS, options=options)
    assert cfg.model.backbone.checkpoint is None
    assert cfg.model.predictor is None


def test_modules_are_imported_that_the_command_line_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "from torch import nn\nfrom mvssl.registry import NECKS\n\n\n"
    module += "@NECKS.register_module()\nclass NeckOfAModule(nn.Identity): pass\n"
    (tmp_path / "module_of_a_neck.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    assert NECKS.get("NeckOfAModule") is None
    options = {"custom_imports.imports": ["module_of_a_neck"], "model.neck.type": "NeckOfAModule"}
    load_config(DIGITS, options=options)
    try:
        assert NECKS.get("NeckOfAModule") is not None
    finally:
        NECKS.module_dict.pop("NeckOfAModule", None)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import no_such_package", r"No module named 'no_such_package': mend it, .*line 1\)"),
        ("from math import nothing", r"cannot import name 'nothing' from 'math'.*: mend it"),
        ("raise ValueError('bad')", r"bad: mend it, or take it out \(.*broken_one.py, line 1\)"),
        ("def", r"SyntaxError: .*: mend it"),
    ],
)
@pytest.mark.parametrize("where", ["file", "option"])
def test_why_a_module_is_not_imported_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str, where: str
) -> None:
    (tmp_path / "broken_one.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    path, options = DIGITS, {"custom_imports.imports": ["broken_one"]}
    if where == "file":
        path, options = tmp_path / "c.py", {}
        path.write_text("custom_imports = dict(imports=['broken_one'])\n")
    with pytest.raises(UserError, match=told) as raised:
        load_config(path, options=options)
    assert "PYTHONPATH" not in str(raised.value)


def test_a_module_that_is_not_there_is_looked_for_along_pythonpath(tmp_path: Path) -> None:
    for given in ("imports=['not_there.at_all']", "imports='not_there'"):
        (tmp_path / "c.py").write_text(f"custom_imports = dict({given})\n")
        with pytest.raises(
            UserError,
            match=r"'not_there': start with PYTHONPATH=FOLDER, the folder .* modules\.$",
        ):
            load_config(tmp_path / "c.py")
    for given in ("['math']", "dict(import_=['math'])", "3"):
        (tmp_path / "c.py").write_text(f"custom_imports = {given}\n")
        with pytest.raises(
            UserError, match=r"custom_imports is dict\(imports=\['MODULE', \.\.\.\]\)"
        ):
            load_config(tmp_path / "c.py")


def test_a_name_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "c.py").write_text(f"_base_ = ['{DIGITS}']\nmodel = dict(neck={{1: 2}})\n")
    assert any("takes no '1'" in text for text in faults(tmp_path / "c.py"))
