"""Every block of every page is run, or says why it is not; names in pages are ones that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from mvssl import cli
from mvssl.apis import TrainOptions
from mvssl.config.checks import check_config
from mvssl.config.read import parse_options
from mvssl.process.train_parser import parse_train
from tests.docs.blocks import BLOCKS, ELSEWHERE, MAKERS, PAGES, READ, Block
from tests.docs.place import LABELS, bash, make_place
from tests.forking import python
from tests.mini import ROOT, load_tool

RUN_HERE = [block for block in BLOCKS if block.language == "bash" and not block.mark]
READ_HERE = [block for block in BLOCKS if block.language == "bash" and block.mark in READ]
PROGRAMS = [
    page
    for page in PAGES
    if any(
        f"{ROOT / b.page}" == str(page) and b.language == "python" and not b.mark for b in BLOCKS
    )
]
OTHERS = {"pip", "python3", "make", "pre-commit", ".", "sudo"}
COMMANDS = {"python", "mvssl", "torchrun", "bash", "sbatch", "srun", *OTHERS}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    make_place(folder, lambda text: bash(text, folder, python()))
    return folder


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process in that place."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("HOME", str(place / "home"))
    monkeypatch.syspath_prepend(place)
    return place


def test_no_block_is_left_out() -> None:
    for block in BLOCKS:
        if block.language not in ("bash", "python"):
            assert block.language in ("console", "text", "yaml"), (
                f"{block}: of what language is it?"
            )
            continue
        known = {*READ, "config", "", *ELSEWHERE.get(block.page, ())}
        assert block.mark in known, f"{block}: what is '{block.mark}'?"
        assert block.mark not in READ or block.remark, f"{block}: say why it is not run"
    for page in PAGES:
        bare = re.sub(r"^( *)```.*?^\1```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        told = re.findall(r"^ {4,}(?:python|mvssl|pip|torchrun|bash) .*", bare, re.MULTILINE)
        assert not told, f"{page.name}: fence {told}, so that it is run"


@pytest.mark.parametrize("block", RUN_HERE, ids=str)
def test_commands_run(block: Block, place: Path) -> None:
    bash(block.text, place, python())


@pytest.mark.parametrize("page", PROGRAMS, ids=lambda page: page.name)
def test_programs_run(page: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {"__name__": "page"}
    for block in BLOCKS:
        if ROOT / block.page == page and block.language == "python" and not block.mark:
            exec(compile("\n" * (block.line - 1) + block.text, page, "exec"), names)


@pytest.mark.parametrize("block", READ_HERE, ids=str)
def test_commands_are_understood(block: Block, here: Path) -> None:
    for words in block.commands:
        understood(words)


def understood(words: list[str]) -> None:
    """Refuse a command that names a tool, an option, or a config which is not there."""
    while "=" in words[0]:  # variables
        words = words[1:]
    assert words[0] in COMMANDS, words
    if words[0] in OTHERS:
        return
    if words[:2] == ["python", "-m"] and words[2] == "pytest":
        assert all((ROOT / word).exists() for word in words[3:])
        return
    if words[0] == "mvssl" or words[1:3] == ["-m", "mvssl"]:
        arguments = words[words.index("mvssl") + 1 :]
        assert arguments[0] in cli.commands()
        return arguments_of(ROOT / "tools" / f"{arguments[0]}.py", arguments[1:])
    scripts = [n for n, word in enumerate(words) if re.match(r"(/path/to/mvssl/)?tools/", word)]
    assert len(scripts) == 1, words
    script = ROOT / words[scripts[0]].removeprefix("/path/to/mvssl/")
    arguments = words[scripts[0] + 1 :]
    if script.suffix == ".sh":
        assert script.is_file()
        script, arguments = ROOT / "tools" / "train.py", [arguments[0], *arguments[2:]]
    arguments_of(script, arguments)


def arguments_of(script: Path, arguments: list[str]) -> None:
    assert script.is_file(), script
    arguments = [word for word in arguments if word != "..."]
    if script.name == "train.py":
        given = vars(parse_train(arguments))
        given["cfg_options"] = parse_options(given["cfg_options"])
        given["init_from"] = None  # a file of others, or one that is fetched
        assert check_config(TrainOptions(**given).read().to_dict()) == []
    elif script.parent == ROOT / "tools":
        load_tool(script.stem).parse(arguments)
    else:  # some need packages that are not here, so that they are not even imported
        told = script.read_text(encoding="utf-8")
        for name in re.findall(r"^import (\w+)", told, re.MULTILINE):
            if (near := script.with_name(f"{name}.py")).is_file():
                told += near.read_text(encoding="utf-8")
        for option in [word[2:] for word in arguments if word.startswith("--")]:
            assert f'"--{option}"' in told or f'"{option}"' in told, f"{script.name}: --{option}"


def test_programs_that_are_only_read_are_python() -> None:
    for block in BLOCKS:
        if block.language == "python" and block.mark in READ:
            ast.parse(block.text)


def test_what_consoles_show_is_what_a_run_says(place: Path) -> None:
    told = (place / LABELS).read_text()
    shown = [block for block in BLOCKS if block.language == "console"]
    assert shown
    for block in shown:
        for line in filter(str.strip, block.text.splitlines()):
            label = re.split(r"  +|: ", line.strip())[0]
            assert label in told, f"{block}: a run says no '{label}'"


def anchors(page: Path) -> set[str]:
    """Of the headings of a page, as GitHub and the site make them; and those that it sets."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ +(.*)$", text, re.MULTILINE)
    plain = [re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading) for heading in headings]
    slugs = [re.sub(r"[^\w -]", "", one).strip().lower().replace(" ", "-") for one in plain]
    return {*slugs, *re.findall(r'(?:id|name)="([\w-]+)"', text)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    plain = re.sub(r"^( *)```.*?^\1```|`[^`\n]*`", "", text, flags=re.M | re.S)
    targets = [
        *re.findall(r"\]\(([^)\s]+)\)", plain),
        *re.findall(r'(?:src|href)="([^"]+)"', plain),
    ]
    for target in targets:
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), f"{page.name}: there is no {target}"
        assert not anchor or anchor in anchors(file), f"{page.name}: there is no {target}"


def pictures(page: Path) -> set[str]:
    """Paths below docs/figures that a page shows."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(r'(?:src="|srcset="|!\[[^\]]*\]\()(?:docs/)?figures/([\w./-]+)', text)
    return set(found)


def test_every_picture_is_shown_and_has_its_maker() -> None:
    folder = ROOT / "docs" / "figures"
    made = {
        file.relative_to(folder).as_posix(): command
        for pattern, command in MAKERS.items()
        for file in folder.glob(pattern)
    }
    there = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert set().union(*map(pictures, PAGES)) == there
    assert set(made) == there
    assert len(MAKERS) == len({file.partition("_")[0].partition("/")[0] for file in there})


@pytest.mark.parametrize("command", MAKERS.values())
def test_makers_of_pictures_are_there(command: str, here: Path) -> None:
    for words in Block("CONTRIBUTING.md", 0, "bash", "", "", command).commands:
        understood(words)
