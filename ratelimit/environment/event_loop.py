"""Event loop that runs in this thread, looked for without loading what runs event loops.

Code that only looks at a deployment runs no loop, and need not wait for asyncio and TLS to be imported.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


def running_loop() -> AbstractEventLoop | None:
    """Return the loop of asyncio's that runs in this thread; None where none does."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:  # nothing has imported it, so nothing runs by it
        return None
    try:
        found: AbstractEventLoop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    return found
