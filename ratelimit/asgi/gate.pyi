"""The fast path of an HTTP request."""

from collections.abc import Callable, Sequence
from typing import final

from starlette.types import Scope, Send

from ratelimit.asgi.door import Door
from ratelimit.asgi.exchange import Sending
from ratelimit.core.decision.schedule import Pace
from ratelimit.core.memory.table import Table
from ratelimit.core.sharing.observer import Watch
from ratelimit.deciding.bound_policy import Matched
from ratelimit.deciding.conduct import Conduct
from ratelimit.deciding.load import LoadLimit
from ratelimit.deciding.ramps import Ramps
from ratelimit.http.fields import HeaderWriter
from ratelimit.identity.extract import Extractor
from ratelimit.policy.routing.target import Target

SAMPLE: int
"""One decision in so many is timed."""
REFUSED: int
"""What stands for an identity that the policy insists on: a gate turns such requests away."""

@final
class Gate:
    """Lets in requests of the common kind under one policy: no lists, no tiers, no resolvers.

    Args:
        door, writer: for the exchanges it makes.
        match: says what applies to a method and target; `requests` has what it said before.
        extractor: of identities.
        table: counts a decision in `counter`, in the first of `columns` if it was a refusal.
        sample: called with the time a request came, after every 64th decision.
        watch: knows clusters, and is told what was decided; None when nothing is correlated.
        target: what a scope asks for, where its path is not as it was sent, or below a root path.
        pace, keep_up: says when upkeep is due with a decision, and does it.
        has_ends: whether something is told of each request's end, so that no sending is plain.
        loads: the limits that follow the load, by position; what has no room by its own is turned away.
        payer_at: the position of the identity that use of the back end is counted by, -1 for none.
        ramps: what delays steep rises, of which requests are turned away; None: nothing does.
        conduct: told of refusals; what struck is turned away. None where no limit falls with bad conduct.
    """

    def __init__(
        self,
        door: Door,
        writer: HeaderWriter,
        *,
        match: Callable[[str, str | Target], Matched],
        requests: dict[str, dict[str | Target, Matched]],
        extractor: Extractor,
        table: Table,
        counter: int,
        columns: tuple[int, int],
        sample: Callable[[int], None],
        watch: Watch | None = None,
        target: Callable[[Scope], str | Target],
        pace: Pace,
        keep_up: Callable[[int], None],
        has_ends: bool = False,
        loads: Sequence[LoadLimit] = (),
        payer_at: int = -1,
        conduct: Conduct | None = None,
        ramps: Ramps | None = None,
    ) -> None: ...
    def enter(self, scope: Scope, send: Send, now_ns: int, /) -> Sending | None:
        """Decide a request, charge and count it, and leave its exchange at `scope["ratelimit"]`.

        None when it is not of the common kind: then nothing was charged and nothing counted.
        """
