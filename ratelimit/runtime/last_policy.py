"""The text of the policy in force on this host, kept for the night in which its file is broken.

Rules it keeps:

- Workers that share memory keep it, when they start and with each reload that is applied. It lies in the
  user's folder of shared memory, under a name that follows from the policy's path, as its note does.
- It may have secrets in it, as the file may: only its user can read it.
- It goes with the policy's table (`leftovers`). A worker that cannot keep it goes on without.
- A worker that starts while the file is broken goes on by it, if another worker of this host does. If none
  does, the file's error ends the start: a text that outlived its workers decides nothing.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ratelimit.errors import PolicyError, RateLimitError, StoreError, UsageError
from ratelimit.policy import Policy
from ratelimit.policy.schema.source import MAX_BYTES
from ratelimit.runtime.resolvers import Resolver, find_resolvers
from ratelimit.stores.embedded.folder import is_there, memory_folder
from ratelimit.stores.embedded.watched import WatchedStore
from ratelimit.stores.factory import wish_of
from ratelimit.stores.leftovers import keep_note, kept_text, own_file, put_whole, sweep_if_gone


@dataclass(frozen=True, slots=True)
class LastPolicy:
    """The policy that workers of this user last put in force on this host."""

    policy: Policy
    since_s: float
    """When its text was first kept, seconds since 1970."""


def keep(policy: Policy) -> None:
    """Keep the text of a policy that is in force now; without a file it has none."""
    if policy.path is None or policy.text is None:
        return
    name, text = str(Path(policy.path).absolute()), policy.text.encode()
    with contextlib.suppress(OSError, StoreError):
        folder = memory_folder(make=True)
        place = kept_text(name, folder)
        if own_file(place, MAX_BYTES) == text:
            return
        put_whole(place, text)
        keep_note(name, folder)


def kept_since(path: str | os.PathLike[str]) -> float | None:
    """Return since when workers here go by the policy in force from a file of this path, if that is known."""
    try:
        return kept_text(str(Path(path).absolute()), memory_folder()).stat().st_mtime
    except (OSError, ValueError, StoreError):
        return None


def last_in_force(path: str) -> LastPolicy | None:
    """Return the policy that workers last put in force from a file of this path; None where none is known.

    It has the name and path of the file, so that the table of its workers is found by it.
    """
    name = str(Path(path).absolute())
    try:
        place = kept_text(name, memory_folder())
        text = own_file(place, MAX_BYTES)
        if text is None:
            return None
        return LastPolicy(Policy.from_toml(text.decode(), path, path=path), place.stat().st_mtime)
    except (OSError, ValueError, StoreError, PolicyError):
        return None  # of another release, gone meanwhile, or of a name that no file can have


def load_or_last(
    path: Policy | str | os.PathLike[str], resolvers: Mapping[str, Resolver]
) -> tuple[Policy, RateLimitError | None]:
    """Return a file's policy; where that cannot be used, the one that other workers here go on by, and why.

    Args:
        path: the file, or a policy that was loaded already.
        resolvers: those that the application gave.

    Raises:
        PolicyError: the file cannot be used, and no worker of this host goes by an earlier one.
        UsageError: a resolver that the file names was not given; likewise.
    """
    if isinstance(path, Policy):
        return path, None
    try:
        loaded = Policy.load(path)
        find_resolvers(loaded.compiled.identities, resolvers)
    except (PolicyError, UsageError) as error:
        last = last_in_force(os.fspath(path))
        if last is None or not has_workers(last.policy):
            raise
        return last.policy, error
    return loaded, None


def has_workers(policy: Policy) -> bool:
    """Return whether a worker of this host is alive in the memory of a policy."""
    try:
        wish = wish_of(policy)
        if wish.name is None or wish.place is None or not is_there(wish.place):
            return False
        store = WatchedStore.shared(
            wish.name,
            path=wish.place,
            keys=wish.keys,
            block_bytes=wish.block_bytes,
            key=wish.key,
            mends=False,
        )
    except StoreError:
        return False  # of another release, or without the hash key: this worker could not count there either
    try:
        return store.has_workers()
    finally:
        store.close()


def forget_if_gone(policy: Policy) -> None:
    """Remove what is kept of a policy if its file is gone, unless a process holds its table."""
    if policy.path is not None:
        with contextlib.suppress(StoreError):
            sweep_if_gone(str(Path(policy.path).absolute()), memory_folder())
