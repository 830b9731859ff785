"""Other distributions that are imported as `ratelimit`, and the command that parts them from this one.

`pip` puts files of two such distributions into one folder. The one that comes last overwrites
`ratelimit/__init__.py`, and the one that is uninstalled first takes that file away.
"""

from __future__ import annotations

import re
from importlib import metadata

OURS = "kinlimit"
_OUR_FILE = re.compile(r'^"?(?:\.\./)*ratelimit(?:/|\.py\b)', re.MULTILINE)


def neighbours() -> list[str]:
    """Return the names of other distributions that are imported as `ratelimit`."""
    owners = {found.metadata["Name"] for found in metadata.distributions() if _is_imported_so(found)}
    return sorted(owner for owner in owners if owner and owner.lower().replace("_", "-") != OURS)


def _is_imported_so(found: metadata.Distribution) -> bool:
    # As `metadata.packages_distributions` says it: that makes a path of each file, for a third of a second.
    declared = (found.read_text("top_level.txt") or "").split()
    if declared:
        return "ratelimit" in declared
    lists = (found.read_text(name) for name in ("RECORD", "installed-files.txt", "SOURCES.txt"))
    return _OUR_FILE.search(next(filter(None, lists), "")) is not None


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
