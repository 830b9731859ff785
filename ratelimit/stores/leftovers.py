"""Shared memory of policies that are gone: found by a note beside it, and removed.

Rules it keeps:

- Beside a table that is named by its policy's path lies a note with that path, as written.
- A table goes, with what lies beside it, once no file is there under that path and no process holds
  any of it. A process that starts looks for such tables, and one that closes looks at its own.
- A path is looked for from where it was written: in another mount namespace (a container that shares
  `/dev/shm`) it may lead elsewhere. There a table goes only once no worker has started for a day.
- A path that cannot be looked at, as in a folder of another account's, is not gone.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from ratelimit.environment.file import read_file
from ratelimit.stores.embedded.mapping import is_abandoned, prefix_of

NOTE = "policy-"
"""What the name of a note begins with; what follows is what its table's name begins with."""
ABROAD_S = 86_400
"""Seconds after the last start before a note from another mount namespace is acted on."""
TEXT = "last-policy-"
"""The same of the text that `last_policy` keeps,"""
LIMITS = "limits-in-code-"
"""of the limits that `limits_in_code` keeps,"""
ROUTES = "routes-in-code-"
"""and of the routes that asked for them."""
_LONGEST_NOTE = 8192
_MOUNTS = Path("/proc/self/ns/mnt")


def keep_note(policy: str, folder: Path) -> None:
    """Note the policy of the table in a folder, and that a worker starts now."""
    note = _note(policy, folder)
    said = b"%d\n%b" % (_namespace(), os.fsencode(policy))
    # Without a note a table stays, and that is all.
    with contextlib.suppress(OSError):
        if _read(note) == said:
            os.utime(note)
            return
        put_whole(note, said)


def put_whole(place: Path, content: bytes) -> None:
    """Put a file that only its user can read in place of another one; a reader has one of them, whole.

    Raises:
        OSError: there is no room, or no permission; nothing is left of it.
    """
    # By the number of a process alone, threads and containers that share the folder would write to one file.
    fresh = place.with_name(f"{place.name}.{secrets.token_hex(8)}")
    try:
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
        fresh.replace(place)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def own_file(place: Path, most: int) -> bytes | None:
    """Return a file of this user's that nobody else can read or write; None where it is not such a one."""
    try:
        found = place.lstat()
        is_ours = found.st_uid == os.geteuid() and not found.st_mode & 0o077
        return read_file(place, most) if is_ours else None
    except OSError:
        return None


def sweep_gone(folder: Path, now_s: float) -> None:
    """Remove all tables in a folder that no process holds, of policies that are gone."""
    with contextlib.suppress(OSError):
        for note in [path for path in folder.iterdir() if path.name.startswith(NOTE)]:
            namespace, _, policy = _read(note).partition(b"\n")
            if not policy:
                continue
            is_here = namespace == b"%d" % _namespace()
            if is_here or now_s - note.stat().st_mtime > ABROAD_S:
                sweep_if_gone(os.fsdecode(policy), folder)


def sweep_if_gone(policy: str, folder: Path) -> None:
    """Remove a policy's table and what lies beside it, if the policy is gone and no process holds any."""
    if not _is_gone(policy):
        return
    with contextlib.suppress(OSError):
        theirs = list(_tables(policy, folder))
        if all(is_abandoned(path) for path in theirs):
            beside = (kept_text(policy, folder), kept_limits(policy, folder), kept_routes(policy, folder))
            for path in (*theirs, _note(policy, folder), *beside):
                path.unlink(missing_ok=True)


def kept_text(policy: str, folder: Path) -> Path:
    """Return where the text of a policy is kept in a folder."""
    return folder / f"{TEXT}{prefix_of(policy).rstrip('-')}"


def kept_limits(policy: str, folder: Path) -> Path:
    """Return where the limits of the code beside a policy are kept in a folder."""
    return folder / f"{LIMITS}{prefix_of(policy).rstrip('-')}"


def kept_routes(policy: str, folder: Path) -> Path:
    """Return where the routes are kept in a folder that asked for limits of the code beside a policy."""
    return folder / f"{ROUTES}{prefix_of(policy).rstrip('-')}"


def _tables(policy: str, folder: Path) -> Iterator[Path]:
    prefix = prefix_of(policy)
    return (path for path in folder.iterdir() if path.name.startswith(prefix))


def _note(policy: str, folder: Path) -> Path:
    return folder / f"{NOTE}{prefix_of(policy).rstrip('-')}"


def _is_gone(policy: str) -> bool:
    try:
        Path(policy).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


def _read(note: Path) -> bytes:
    try:
        fd = os.open(note, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    with os.fdopen(fd, "rb") as file:
        return file.read(_LONGEST_NOTE)


def _namespace() -> int:
    try:
        return _MOUNTS.stat().st_ino
    except OSError:
        return 0
