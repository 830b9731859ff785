"""Objects in processes of their own, so that contenders share neither heap nor threads.

Some limiters keep threads that look through everything they hold, with the GIL. Next
to one of those every other contender of the process looks slow.
"""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any


class Hosted:
    """One object in a process started for it; `ask` calls its methods.

    Args:
        make: returns the object, in the new process; importable by name.
        arguments: for `make`.
    """

    def __init__(self, make: Callable[..., object], *arguments: object) -> None:
        context = multiprocessing.get_context("spawn")  # nothing inherited: clean memory to measure
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, arguments), daemon=True)
        self._process.start()
        theirs.close()
        self._receive()

    def ask(self, method: str, *arguments: object) -> Any:
        """Return what a method returns; what it raises is raised here."""
        self._connection.send((method, arguments))
        return self._receive()

    def _receive(self) -> Any:
        good, result = self._connection.recv()
        if not good:
            raise result
        return result

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join(10)
        if self._process.is_alive():  # a peer's thread may not want to end
            self._process.kill()
            self._process.join()

    def __enter__(self) -> Hosted:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _serve(connection: Connection, make: Callable[..., object], arguments: tuple[object, ...]) -> None:
    try:
        made = make(*arguments)
        gc.collect()
        gc.freeze()  # what was set up is not looked through again by every collection
        connection.send((True, None))
        while True:
            try:
                method, given = connection.recv()
            except EOFError:
                return
            connection.send((True, getattr(made, method)(*given)))
    except ImportError as error:  # a peer that is not installed: who asked says so
        connection.send((False, error))
    except BaseException as error:
        connection.send((False, error))
        raise
