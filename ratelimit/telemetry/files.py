"""The alerts and the dashboard, which are installed with the package."""

from __future__ import annotations

from importlib.resources import files

ALERTS, DASHBOARD = "alerts.yml", "grafana.json"


def read(name: str) -> str:
    """Return the text of a file beside this one."""
    return files(__package__ or "").joinpath(name).read_text("utf-8")
