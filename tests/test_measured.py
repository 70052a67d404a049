"""The table of what is measured, against what is measured, and all that is made of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mvssl.engine.history import History
from mvssl.engine.tags import CHARTS, tag_of
from mvssl.evaluation import Information
from mvssl.information import VonMisesFisher
from mvssl.measured import MEASURED, PANELS
from mvssl.models import Embeddings
from mvssl.models.measures import (
    measure,
    measure_discrete,
    measure_discriminants,
    measure_geometry,
)
from mvssl.report.comparison import comparison_page
from mvssl.report.curves import GREY, plot_curves
from mvssl.report.grouping import grouped
from mvssl.report.groups import curve_groups
from mvssl.report.recorded import read_run
from tests.report.pages import Page, write_run


def every_scalar() -> History:
    history = History()
    for step in (1, 2):
        history.add(step, {name: float(step) for name in MEASURED})
    return history


def test_every_name_stands_in_the_table_once() -> None:
    assert len(MEASURED) == sum(len(panel.members) for panel in PANELS)
    for places in (
        [panel.picture for panel in PANELS if panel.picture is not None],
        [one.compared for one in MEASURED.values() if one.compared is not None],
    ):
        assert sorted(places) == list(range(len(places)))


def test_what_is_measured_of_a_record_is_in_the_table() -> None:
    views = [torch.randn(6, 4) for _ in range(2)]
    features = [torch.randn(6, 5) for _ in range(2)]
    record = Embeddings(features, views, views, views, torch.arange(6))
    kernel = VonMisesFisher(2.0)
    found = measure(record, kernel) | measure_geometry(record, kernel)
    found |= measure_discriminants(record)
    assert {name for name, one in MEASURED.items() if one.held_out} == set(found)
    t = [torch.softmax(view, dim=1) for view in views]
    discrete = measure_discrete(t, [x.log() for x in t], [(0, 1)])
    assert set(discrete) <= set(MEASURED)
    results = Information().results
    assigned = {f"heldout_assigned_{name}" for name in discrete}
    assert set(results) == {f"heldout_{name}" for name in found} | assigned
    for panel in PANELS:
        for one in panel.members:
            if one.held_out and panel.unit == "nats":
                assert results[f"heldout_{one.name}"].unit == "nats"


def test_a_page_shows_each_scalar_once_and_limits_behind_the_others() -> None:
    groups = curve_groups(every_scalar(), 1.0, {})
    assert groups["Others"] == []
    curves = [len(panel.curves) for some in groups.values() for panel in some]
    assert sum(curves) == sum(one.drawn for one in MEASURED.values())
    for some in groups.values():
        for panel in some:
            grey = [one.color == GREY for one in panel.curves]
            assert grey == sorted(grey)
            assert grey == [one.reference for one in panel.curves]


def test_a_picture_and_a_page_call_things_alike(tmp_path: Path) -> None:
    history = every_scalar()
    figure = plot_curves(history, tmp_path / "curves.png", steps_per_epoch=1.0)
    page = {x.title: x for some in curve_groups(history, 1.0, {}).values() for x in some}
    drawn = {axes.get_title(loc="left"): axes for axes in figure.axes}
    assert list(drawn) == [
        "Training loss",
        "Entropy",
        "Reconstruction",
        "Mutual information between views",
    ]
    for title, axes in drawn.items():
        assert axes.get_ylabel() == page[title].unit
        labels = {text.get_text().rpartition(" ")[0] for text in axes.texts}
        assert labels == {curve.label for curve in page[title].curves}


def test_charts_of_loggers_hold_limits_of_their_group() -> None:
    for group, charts in CHARTS.items():
        for kind, patterns in charts.values():
            assert kind == "Multiline"
            assert all(pattern.startswith(f"^{group}/") for pattern in patterns)
            assert len(patterns) > 1
    assert {tag_of(name).partition("/")[0] for name in MEASURED} == {
        "information",
        "geometry",
        "optim",
        "health",
        "speed",
    }


@pytest.mark.parametrize("finished", [True, False])
def test_runs_are_compared_in_the_order_of_the_table(tmp_path: Path, finished: bool) -> None:
    run = read_run(write_run(tmp_path / "run", finished=finished))
    run.history.load_state_dict(every_scalar().state_dict())
    (tmp_path / "c.html").write_bytes(comparison_page(grouped([run]), {}, []))
    titles = [one.all("h4")[0].text for one in Page(tmp_path / "c.html").root.all("figure")]
    compared = {one.compared: one.title for one in MEASURED.values() if one.compared is not None}
    assert titles == [compared[place] for place in sorted(compared)]
    if not finished:
        summary = json.loads(json.dumps(run.summary))
        assert {name for name, one in MEASURED.items() if one.summary} <= set(summary)
