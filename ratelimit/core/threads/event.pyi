"""An event that a thread waits for beside a busy event loop."""

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple, Unpack, final

_Arguments = TypeVarTuple("_Arguments")
_Result = TypeVar("_Result")

def promptly(function: Callable[[Unpack[_Arguments]], _Result], /, *arguments: *_Arguments) -> _Result:
    """Return what a function returns that frees the interpreter's lock for less than a millisecond.

    Hashing and writing do so. The main thread stays away meanwhile, so that the call takes no longer
    than it does without a busy event loop. On the main thread it is a plain call.
    """

def breathe() -> None:
    """Let other threads run for half a millisecond, if this one has not done so for as long.

    For long work in Python beside an event loop: between two pieces of it, each a few microseconds.
    Without it the loop waits 5 ms each time that it wants the interpreter's lock back.
    """

@final
class PromptEvent:
    """A `threading.Event` from which a thread comes back when it is time, not when the loop rests.

    An event loop that never rests frees the interpreter's lock too shortly for a thread that
    wakes. A wait for half a millisecond may take a second. At the end of this `wait` the main
    thread is asked to stay away from the lock for a moment, a millisecond at most. `with nogil`
    in the modules that correlate ends likewise.

    Where the loop runs in another thread than the main one, waiting is as it is with `Event`.
    """

    def __init__(self) -> None: ...
    def wait(self, seconds: float, /) -> bool:
        """Wait, a day at most; return whether the event is set."""
    def set(self) -> None:
        """Wake all that wait, and let none wait from now on."""
    def is_set(self) -> bool:
        """Return whether it is set."""
