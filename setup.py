"""How the explorer is packaged; the rest stands in pyproject.toml.

Everything goes into the package `lottery_core`: names such as `ui` and `pages` are not ours to take
on somebody's machine. The pages become `lottery_core/explorer/`, from where Streamlit runs them as
it does here, and the archives that come along `lottery_core/data/archives/`.
"""

from pathlib import Path

from setuptools import find_packages, setup

PAGES, ARCHIVES = "lottery_core.explorer", "lottery_core.data.archives"
HANDOUT = "lottery_core.findings.handout"
ui = [f"{PAGES}.{name}" for name in find_packages(include=["ui", "ui.*"])]


def required(file: str) -> list[str]:
    """What a requirement file asks for; comments, and what is said to pip alone, are none."""
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and line[0] not in "#-"]


setup(
    packages=[
        *find_packages(include=["lottery_core", "lottery_core.*"]),
        PAGES,
        f"{PAGES}.pages",
        *ui,
        ARCHIVES,
    ],
    package_dir={
        PAGES: ".",
        f"{PAGES}.pages": "pages",
        f"{PAGES}.ui": "ui",
        ARCHIVES: "cache/datasets",
    },
    package_data={
        PAGES: [".streamlit/config.toml", "static/*.svg"],
        **{package: ["*.css", "*.js"] for package in ui},
        HANDOUT: ["page.*"],
        ARCHIVES: ["MNIST/raw/*.gz"],
    },
    install_requires=required("requirements.txt"),
    extras_require={"cluster": required("requirements-cluster.txt")},
)
