"""Limits that an application's code declares, kept beside the table for the commands that look at it.

Workers that share memory keep them as they start. They lie in the user's folder of shared memory under a name
that follows from the policy's path, and go with the policy's table (`leftovers`). A worker that cannot keep
them goes on without, and commands then know the policy's own limits alone.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ratelimit.errors import StoreError
from ratelimit.parsing.json import JsonError, read_json
from ratelimit.stores.embedded.folder import memory_folder
from ratelimit.stores.leftovers import kept_limits, own_file, put_whole

MAX_BYTES = 1 << 18
"""The most that is read; 128 limits take a tenth."""


def keep(policy_path: str, tables: Sequence[Mapping[str, Any]]) -> None:
    """Keep the limits that this worker's code declares, each as a table of the policy file."""
    text = json.dumps([dict(table) for table in tables], sort_keys=True).encode()
    with contextlib.suppress(OSError, StoreError):
        place = kept_limits(str(Path(policy_path).absolute()), memory_folder(make=True))
        if own_file(place, MAX_BYTES) == text:
            return
        put_whole(place, text)


def kept(policy_path: str) -> list[dict[str, Any]]:
    """Return the limits that the code of a policy's workers declared last; none where that is not known."""
    try:
        text = own_file(kept_limits(str(Path(policy_path).absolute()), memory_folder()), MAX_BYTES)
        found = [] if text is None else read_json(text)
    except (OSError, ValueError, StoreError, JsonError):
        return []
    return [table for table in found if isinstance(table, dict)] if isinstance(found, list) else []
