"""The pictures of README.md and docs/index.md, of a run: its page, its curves, its views.

    python tools/train.py configs/byol_er_vit.py --work-dir work_dirs/first_result
    python tools/report.py work_dirs/first_result --map tsne
    python tools/figures/first_result.py work_dirs/first_result [--out docs/figures]

The first picture is of parts of ``report.html``, moved beside each other in Chromium, which has to
be there. Takes five seconds.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT = 1240, 610
COLORS = 256
STYLE = """
body { max-width: none; margin: 0; padding: 14px }
.shown { display: grid; grid-template-columns: 230px 330px 1fr; gap: 14px }
.shown > div { display: grid; gap: 14px; align-content: start }
.shown .card, .shown section { margin: 0 }
.shown figure.map { max-width: none }
.shown figure.map svg { height: 300px }
.shown .row { padding: 6px 14px; max-width: 540px }
h1 { margin: 0 }
"""
SCRIPT = """
const one = (selector, number = 0) => document.querySelectorAll(selector)[number];
const titled = (kind, text) =>
  [...document.querySelectorAll(kind)].find((card) => card.textContent.includes(text));
const columns = [
  [one("h1"), one("#verdict"), titled(".tile", "kNN"), titled(".tile", "Mutual")],
  [titled(".chart", "Entropy"), titled(".chart", "Mutual")],
  [one("#map figure"), one("#nearest-neighbours .card")],
];
const rows = [...columns[2][1].querySelectorAll(".row")];
rows.slice(2).forEach((row) => row.remove());
const shown = document.createElement("div");
shown.className = "shown";
for (const parts of columns) {
  const column = document.createElement("div");
  column.append(...parts);
  shown.append(column);
}
document.body.replaceChildren(shown);
"""


def photographed(page: Path, folder: Path) -> Image.Image:
    """Parts of the page as a browser shows them, at twice their size."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"error: there is none of {', '.join(BROWSERS)}: apt-get install chromium")
    # The copy is ours, so that nothing forbids a script in it.
    text = page.read_text(encoding="utf-8")
    head = text.partition("<head>")[2].partition("</head>")[0]
    policy = head[head.index("<meta http-equiv") :].partition(">")[0] + ">"
    text = text.replace(policy, "").replace("</head>", f"<style>{STYLE}</style></head>")
    copy, shot = folder / "page.html", folder / "page.png"
    copy.write_text(text.replace("</body>", f"<script>{SCRIPT}</script></body>"))
    words = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    words += [f"--user-data-dir={folder}", f"--window-size={WIDTH},{HEIGHT}"]
    words += ["--force-device-scale-factor=2", f"--screenshot={shot}", copy.as_uri()]
    subprocess.run(words, check=True, capture_output=True, timeout=100)
    return Image.open(io.BytesIO(shot.read_bytes())).convert("RGB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--out", type=Path, default=Path("docs/figures"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        picture = photographed(args.run / "report.html", Path(folder))
    picture.quantize(COLORS).save(args.out / "digits_page.png", optimize=True)
    for name in ("curves", "views"):
        shutil.copyfile(args.run / f"{name}.png", args.out / f"digits_{name}.png")
    for name in ("page", "curves", "views"):
        print(f"written {args.out / f'digits_{name}.png'}")


if __name__ == "__main__":
    main()
