"""Loopback ports for servers that are killed and come back on the same one.

A port from the kernel's ephemeral range will not do. While its server is down, a client
that keeps connecting to it can be given that very port as its own end. It then talks to
itself and keeps the server out. So ports come from
below that range, and a node's bus (its port + 10,000) has room there, too.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

LOWEST, HIGHEST = 11_000, 20_999
"""With the bus ports 21,000 to 30,999; Linux' ephemeral range starts at 32,768, macOS' at 49,152."""
BUS = 10_000
BLOCK = 50
"""Ports that a process claims at a time."""

_claims = Path(tempfile.gettempdir()) / f"kinlimit-ports-{os.getuid()}"
_held: list[int] = []
"""Descriptors of the claims of this process, which the kernel lets go when it ends."""
_left: list[int] = []


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free, as its bus port is, and that no process of tests was given.

    Between this answer and the server's first call a port is nobody's. Tests that run side by side would
    now and then pick the same one, so each process of tests has blocks of ports to itself while it lives.
    """
    while True:
        if not _left:
            _left.extend(_claimed_block())
        port = _left.pop()
        if is_free(port) and is_free(port + BUS):
            return port


def _claimed_block() -> list[int]:
    """Claim a block of ports that no living process has."""
    _claims.mkdir(exist_ok=True)
    blocks = list(range(LOWEST, HIGHEST + 1, BLOCK))
    random.SystemRandom().shuffle(blocks)  # the module's functions are seeded by test runners
    for first in blocks:
        claim = os.open(_claims / str(first), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(claim)
            continue
        _held.append(claim)
        return list(range(first, first + BLOCK))
    raise OSError(f"other processes of tests have all ports between {LOWEST} and {HIGHEST}")


def is_free(port: int) -> bool:
    """Return whether a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
