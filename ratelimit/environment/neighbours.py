"""Other distributions that are imported as `ratelimit`, and the command that parts them from this one.

`pip` puts files of two such distributions into one folder. The one that comes last overwrites
`ratelimit/__init__.py`, and the one that is uninstalled first takes that file away.
"""

from __future__ import annotations

from importlib import metadata

OURS = "kinlimit"


def neighbours() -> list[str]:
    """Return the names of other distributions that are imported as `ratelimit`."""
    owners = set(metadata.packages_distributions().get("ratelimit", ()))
    return sorted(owner for owner in owners if owner.lower().replace("_", "-") != OURS)


def mending(others: list[str]) -> str:
    """Return the commands that leave this distribution alone with its files."""
    return f"pip uninstall --yes {' '.join([*others, OURS])} && pip install {OURS}"


def sentence() -> str:
    """Return what is wrong where `ratelimit/__init__.py` is not ours, and the remedy."""
    others = neighbours()
    if others:
        listed = " and ".join(f"`{name}`" for name in others)
        words = f"{listed} and `{OURS}` are installed in one folder, `ratelimit`, and their files are mixed"
    else:
        words = (
            f"`ratelimit/__init__.py` of `{OURS}` is gone: another distribution that was imported as "
            "`ratelimit` took it away when it was uninstalled"
        )
    return f"{words}. This mends it: {mending(others)}"
