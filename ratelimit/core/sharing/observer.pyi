"""The observer: the part that correlation has in a request's way."""

from typing import final

from ratelimit.core.clusters.recogniser import Recogniser
from ratelimit.core.clusters.sighting import Columns
from ratelimit.core.sharing.assignments import Assignments
from ratelimit.core.sharing.board import Board
from ratelimit.core.sharing.ring import Ring

@final
class Watch(Recogniser):
    """Looks up a request's actor before it is decided, and passes it on afterwards.

    Args:
        board: the shared memory.
        columns: where rows of identities have what is looked at.
        at: the last of an actor's four places.
    """

    def __new__(cls, board: Board, columns: Columns, at: int) -> Watch: ...
    @property
    def ring(self) -> Ring: ...
    @property
    def assignments(self) -> Assignments: ...
