"""Builds and installs mvssl; the settings of the tools are in pyproject.toml."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


def read_version() -> str:
    # Read, not imported: at build time the package's own requirements are not there yet.
    text = (ROOT / "mvssl" / "version.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if match is None:
        raise RuntimeError('mvssl/version.py has no line of the form __version__ = "1.2.3"')
    return match[1]


def read_requirements(name: str) -> list[str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    lines = (line.split("#", 1)[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def read_readme() -> str:
    path = ROOT / "README.md"
    return path.read_text(encoding="utf-8") if path.exists() else ""


class BuildWithConfigs(build_py):
    """Puts configs and command lines into the package; a checkout has them beside it."""

    def run(self):
        super().run()
        if self.editable_mode:
            return
        for name, patterns in {"configs": ["**/*.py"], "tools": ["*.py", "*.sh"]}.items():
            for pattern in patterns:
                for file in (ROOT / name).glob(pattern):
                    place = Path(self.build_lib, "mvssl", file.relative_to(ROOT))
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(file, place)


extras = {name: read_requirements(name) for name in ("tests", "optional", "benchmarks", "docs")}
extras["all"] = sorted({line for lines in extras.values() for line in lines})

setup(
    name="mvssl",
    version=read_version(),
    description="Self-supervised pretraining from several views of an image",
    long_description=read_readme(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords=["self-supervised learning", "representation learning", "computer vision"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    python_requires=">=3.10",
    packages=find_packages(include=["mvssl", "mvssl.*"]),
    package_data={"mvssl": ["py.typed"], "mvssl.report": ["assets/*"]},
    install_requires=read_requirements("runtime"),
    extras_require=extras,
    cmdclass={"build_py": BuildWithConfigs},
    entry_points={"console_scripts": ["mvssl = mvssl.cli:main"]},
    zip_safe=False,
)
