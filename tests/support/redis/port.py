"""Loopback ports for servers that are killed and come back on the same one.

A port from the kernel's ephemeral range will not do. While its server is down, a client
that keeps connecting to it can be given that very port as its own end. It then talks to
itself and keeps the server out. So ports come from
below that range, and a node's bus (its port + 10,000) has room there, too.
"""

from __future__ import annotations

import socket
from random import SystemRandom

LOWEST, HIGHEST = 11_000, 21_999
"""With the bus ports up to 31,999; Linux' ephemeral range starts at 32,768, macOS' at 49,152."""
BUS = 10_000

# Not the module's functions: test runners seed those, and parallel runs would draw the same ports.
_random = SystemRandom()
_given: set[int] = set()


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free, as its bus port is, and was not returned before."""
    for _ in range(1_000):
        port = _random.randint(LOWEST, HIGHEST)
        if port not in _given and is_free(port) and is_free(port + BUS):
            _given.add(port)
            return port
    raise OSError(f"no free port between {LOWEST} and {HIGHEST}")


def is_free(port: int) -> bool:
    """Return whether a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
