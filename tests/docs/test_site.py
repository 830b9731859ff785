"""`make site`: the pages become a site without a warning, and each link leads to a place of it."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).absolute().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site") / "out"
    command = [sys.executable, str(ROOT / ".ci" / "pages.py"), str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_first_page_is_the_readme_and_policies_of_examples_are_shown(site: Path) -> None:
    assert "A first limit" in (site / "index.html").read_text()
    assert "policy.toml" in (site / "examples" / "redis" / "index.html").read_text()


def test_site_has_dark_mode_its_version_and_a_way_on_from_a_wrong_address(site: Path) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    first = (site / "index.html").read_text()
    assert f"kinlimit {version}" in first
    assert "data-md-color-scheme=slate" in first.replace('"', "")
    lost = (site / "404.html").read_text()
    assert "This page is not here" in lost
    for page in re.findall(
        r"/?([\w-]+)/>", re.sub(r'"', "", lost.partition("This page is not here")[2].partition("</ul>")[0])
    ):
        assert (site / page / "index.html").exists(), page


@pytest.mark.parametrize(
    ("query", "page"),
    [
        ("per user limit jwt", "tutorial/"),
        ("429 retry-after client", "middleware/"),
        ("server away stance", "redis/"),
        ("which algorithm burst", "which-limit/"),
        ("shared memory container", "deployment/"),
    ],
)
def test_search_finds_the_page(site: Path, query: str, page: str) -> None:
    sections = json.loads((site / "search.json").read_text())["items"]

    def score(section: dict[str, str]) -> int:
        title, text = section["title"].lower(), section["text"].lower()
        return sum(3 * (word in title) + (word in text) for word in query.split())

    whole = [
        each
        for each in sections
        if all(word in (each["title"] + each["text"]).lower() for word in query.split())
    ]
    best = sorted(whole, key=score, reverse=True)[:5]
    assert page in [each["location"].partition("#")[0] for each in best], [each["location"] for each in best]


def test_each_page_is_in_the_navigation_once() -> None:
    text = (ROOT / "zensical.toml").read_text()
    tomllib.loads(text)
    named = re.findall(r'= "([\w/-]+\.md)"', text)
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert len(named) == len(set(named))
    assert pages <= set(named)


def test_dead_anchor_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / ".ci"))
    pages = importlib.import_module("pages")
    (tmp_path / "a").mkdir()
    (tmp_path / "index.html").write_text('<a href="a/#here">x</a><a href="a/#gone">y</a>')
    (tmp_path / "a" / "index.html").write_text('<h2 id="here">')
    assert pages.dead_anchors(tmp_path) == ["index.html: a/#gone"]
