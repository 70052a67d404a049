"""Pages in a browser: no fault of a script, and what is pointed at is told."""

from __future__ import annotations

from pathlib import Path

from mvssl.report.page import write_run_page
from mvssl.report.recorded import read_run
from tests.report.browser import opened
from tests.report.pages import write_run

POINT = """
const figure = [...document.querySelectorAll("[data-chart]")]
  .find((one) => one.querySelector("h4").textContent === "of my own");
const svg = figure.querySelector("svg"), box = svg.getBoundingClientRect();
const right = box.left + box.width * 349.9 / 360;
svg.dispatchEvent(new PointerEvent("pointermove", { clientX: right, clientY: box.top + 90 }));
"""


def test_a_page_opens_without_a_fault(tmp_path: Path) -> None:
    write_run_page(tmp_path / "page.html", read_run(write_run(tmp_path / "run")))
    made = opened(tmp_path / "page.html")
    for section in ("verdict", "summary", "curves", "config", "environment"):
        assert f'id="{section}"' in made
    assert made.count('class="tip"') == made.count("data-chart=")


def test_a_curve_tells_its_value_where_it_is_pointed_at(tmp_path: Path) -> None:
    write_run_page(tmp_path / "page.html", read_run(write_run(tmp_path / "run")))
    made = opened(tmp_path / "page.html", POINT)
    (tip,) = (part for part in made.split('<div class="tip"')[1:] if "epoch 2.00" in part)
    # The last value of the smooth curve: the mean of the last three.
    assert '<b class="">199</b>' in tip.split("</figure>")[0].replace("199.0", "199")
