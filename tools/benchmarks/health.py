r"""What the doctor says of every method, natively and with ER: there should be no false alarm.

    python tools/benchmarks/health.py --json docs/results/health.json --docs docs/health.md

Each row is a run of ``configs/<method>_vit.py`` on the digits. Rows that the file holds, of the
config as it is now, are not run again: an interrupted benchmark goes on. The arguments are those of
``methods.py``.
"""

from __future__ import annotations

from typing import Any

import methods
import rows as store

from mvssl.process.telling import status_of


def table(rows: list[dict[str, Any]]) -> str:
    """A line for each run: what it is judged by, and what is said."""
    head = (
        "| method | objective | kNN before | after | rank | spread | information | weights moved "
    )
    lines = [
        f"{head}| told while it trained | in the end |",
        "|---|---" + "|---:" * 6 + "|---|---|",
    ]
    for row in rows:
        health, figures = row["health"], row["health"]["figures"]
        cells = [
            row["method"],
            row["objective"],
            store.show(row["knn_top1_init"], ".3f"),
            store.show(row["knn_top1"], ".3f"),
            _of(figures, "rankme", "rankme_cap", "{:.1f} of {:.0f}"),
            _of(figures, "embedding_std", "embedding_std_cap", "{:.0%}", relative=True),
            _of(figures, "information", "mi_ceiling", "{:.2f} of {:.2f}"),
            store.show(figures.get("weights_moved"), ".1%"),
            str((health["told"] or {}).get("kind", "nothing")),
            health["sentence"],
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _of(figures: dict[str, float], name: str, most: str, form: str, relative: bool = False) -> str:
    if name not in figures or most not in figures:
        return "–"
    value, cap = figures[name], figures[most]
    return form.format(value / cap) if relative else form.format(value, cap)


def main() -> None:
    methods.fill(methods.parse(), table)


if __name__ == "__main__":
    raise SystemExit(status_of(main))
