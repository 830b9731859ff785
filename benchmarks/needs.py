"""Optional packages that benchmarks need."""

from __future__ import annotations


def missing(error: ModuleNotFoundError) -> SystemExit:
    """Return the exit that says in one line what is missing, and how to have it."""
    return SystemExit(
        f"{error.name} is not installed: `make bench-install` installs what benchmarks need into .venv; "
        "run them with .venv/bin/python"
    )
