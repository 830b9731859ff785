"""Users with shared memory of limits on this host: the users to be, to look into it."""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence
from pathlib import Path

from ratelimit.stores.embedded.folder import others_folders

_MOST_NAMED = 5


def own_name() -> str:
    """Return what this user is called."""
    return _name(os.geteuid())


def owners(memory: str) -> list[str]:
    """Return the other users that may have memory of that name for their workers, the latest first.

    What lies in a folder only its user and root can tell; of others, that they have one.
    """
    found: dict[str, float] = {}
    for user, folder in others_folders():
        try:
            if os.access(folder, os.X_OK) and not (folder / memory).exists():
                continue
            latest = folder.stat().st_mtime
        except OSError:
            continue
        name = _name(user)
        found[name] = max(latest, found.get(name, 0.0))
    return sorted(found, key=lambda name: -found[name])


def owner_of(place: Path | None) -> str | None:
    """Return the owner of a file, if that is another user; None if it is this one, or cannot be told."""
    try:
        user = None if place is None else place.lstat().st_uid
    except OSError:
        return None
    return None if user is None or user == os.geteuid() else _name(user)


def as_owner(names: Sequence[str]) -> str:
    """Return what to do where some other users have memory; empty for none."""
    if not names:
        return ""
    have = "has" if len(names) == 1 else "have"
    listed = ", ".join(names[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else "")
    return (
        f"Memory is private to the user that the workers run as, and {listed} {have} some on this host: run "
        f"this as that user (`sudo -u {names[0]} ratelimit …`), or give the address of the workers' /metrics."
    )


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
