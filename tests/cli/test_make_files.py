"""`ratelimit make` has the alerts, the dashboard and the schemas that the pages link to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import run

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("command", "file"),
    [
        (("make", "alerts"), "alerts.yml"),
        (("make", "dashboard"), "grafana.json"),
        (("make", "schema"), "policy.schema.json"),
        (("make", "schema", "--tuning"), "tuning.schema.json"),
    ],
)
def test_what_is_printed_is_the_file_of_the_pages(command: tuple[str, ...], file: str) -> None:
    """Hazard: who installs the package has no clone, and so no alerts."""
    result = run(*command)
    assert result.exit_code == 0, result.output
    assert result.stdout == (DOCS / file).read_text("utf-8")


def test_the_files_lie_in_the_package() -> None:
    for name in ("alerts.yml", "grafana.json"):
        assert (DOCS / name).resolve().is_relative_to(DOCS.parent / "ratelimit")
