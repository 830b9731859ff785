"""The transport to a cluster: a connection with each node, and a map from slots to nodes.

A node that does not serve a slot says so (MOVED, ASK, TRYAGAIN) without running the script. So
such a call is made again where it says. A node that is silent or gone fails the call. Which
node serves its slots next is asked anew, and no call that may have run is made twice.

The client library's own cluster client shares connections between callers. It sends ASKING
and what is asked on different ones, and closes those of others when slots move.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from redis.crc import key_slot
from redis.exceptions import AskError, MovedError, NoScriptError, RedisError, ResponseError, TryAgainError

from ratelimit.stores.redis.transport.batch import Call, SlotBatch
from ratelimit.stores.redis.transport.connection import ServerConnection
from ratelimit.stores.redis.transport.node import LOAD, Answers, ServerClient, evaluation, loaded, packed
from ratelimit.stores.redis.transport.resp import command

Address = tuple[str, int]

MOST_TURNS = 6
"""The number of tries of a call that nodes refuse because its slot is elsewhere, or on its way."""
TRY_AGAIN_S = 0.002
MOST_PROBES = 20_000
"""Names tried in search of one for each node's slots."""
FIRST_NODES = 8
MOST_NODES = 56
_ASKING = command(b"ASKING")
_SLOTS = command(b"CLUSTER", b"SLOTS")


class ClusterClient:
    """A connection with each node of a cluster, for one caller at a time.

    Args:
        nodes: where to ask which node serves what; those learnt of are added, for all that share the list.
        dial: makes a connection with one node.
        prefix: what names of keys begin with: a user may be allowed no others.
    """

    def __init__(
        self, nodes: list[Address], dial: Callable[[str, int], Awaitable[ServerConnection]], prefix: bytes
    ) -> None:
        self._prefix = prefix
        self._nodes = nodes
        self._dial = dial
        self._servers: dict[int, Address] = {}
        self._wires: dict[Address, ServerClient] = {}
        self._posted: asyncio.Task[Answers] | None = None

    @property
    def is_open(self) -> bool:
        """True if it is known which node serves what."""
        return bool(self._servers)

    async def open_connections(self) -> None:
        """Learn which node serves what, unless it is known: from whichever node answers first.

        Raises:
            redis.exceptions.RedisError, OSError: no node says.
        """
        if self._servers:
            return
        asking = {asyncio.ensure_future(self._table(address)) for address in self._nodes}
        fault: BaseException = RedisError("no node of the cluster is known")
        try:
            while asking:
                ended, asking = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
                tables = []
                for each in ended:
                    if (error := each.exception()) is None:
                        tables.append(each.result())
                    else:
                        fault = error
                if tables:
                    self._learn(tables[0])
                    return
        finally:
            for each in asking:
                each.cancel()  # which closes its connection
            await asyncio.gather(*asking, return_exceptions=True)
        raise fault

    async def _table(self, address: Address) -> list[tuple[int, int, list[Address]]]:
        """Return which node serves what, as one node sees it: first slot, last slot, master and replicas."""
        (rows,) = await self._node_client(address).exchange([_SLOTS])
        if isinstance(rows, ResponseError):
            raise rows
        # A node without a name is the one that was asked.
        return [
            (first, last, [((one[0] or b"").decode() or address[0], one[1]) for one in nodes])
            for first, last, *nodes in rows
        ]

    def _learn(self, table: list[tuple[int, int, list[Address]]]) -> None:
        known = dict.fromkeys(self._nodes)
        for first, last, nodes in table:
            self._servers.update(dict.fromkeys(range(first, last + 1), nodes[0]))
            known.update(dict.fromkeys(nodes))
        # Newer ones last; the node that was named at first stays.
        self._nodes[:] = [*list(known)[:FIRST_NODES], *list(known)[FIRST_NODES:][-MOST_NODES:]]

    async def check(self, call: Call) -> None:
        """See that every master answers the script."""
        await self.open_connections()
        names: dict[Address, bytes] = {}
        missing = set(self._servers.values())
        for number in range(MOST_PROBES):
            name = b"%bprobe:%d" % (self._prefix, number)
            address = self._servers.get(key_slot(name))
            if address in missing:
                missing.remove(address)
                names[address] = name
                if not missing:
                    break
        _, opening, described, items = call
        calls = [((name,), opening, described, items) for name in names.values()]
        for answer in await self._call_all(calls):
            if isinstance(answer, BaseException):
                raise answer
            SlotBatch().deliver(answer)

    def post(self, calls: Sequence[Call], done: Callable[[Answers], None], /) -> None:
        """Run the script for each, all keys of which are of one slot, and call `done` with the answers."""

        def end(task: asyncio.Task[Answers]) -> None:
            if not task.cancelled():
                error = task.exception()
                done(task.result() if error is None else [error] * len(calls))

        self._posted = asyncio.get_running_loop().create_task(self._call_all(calls))
        self._posted.add_done_callback(end)

    def _call_all(self, calls: Sequence[Call]) -> Coroutine[Any, Any, Answers]:
        slots = [key_slot(next(iter(keys))) for keys, *_ in calls]
        return self._ask_all(slots, [packed(*each) for each in calls])

    async def evaluate(self, script: bytes, keys: Sequence[bytes], arguments: Sequence[bytes]) -> Any:
        """Return what another script says; all keys are of one slot."""
        (answer,) = await self._ask_all([key_slot(keys[0])], [evaluation(script, keys, arguments)])
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def _ask_all(self, slots: Sequence[int], texts: Sequence[bytes]) -> list[Any]:
        """Have each text answered by the node that serves its slot."""
        await self.open_connections()
        answers: list[Any] = [None] * len(texts)
        asking: dict[int, Address] = {}
        loads: set[Address] = set()
        waiting = list(range(len(texts)))
        for _ in range(MOST_TURNS):
            by_node: dict[Address | None, list[int]] = {}
            for number in waiting:
                by_node.setdefault(asking.get(number) or self._servers.get(slots[number]), []).append(number)
            replies = await asyncio.gather(
                *(self._ask(node, texts, numbers, asking, loads) for node, numbers in by_node.items()),
                return_exceptions=True,
            )
            asked, asking, loads, waiting, pause_s = asking, {}, set(), [], 0.0
            for (node, numbers), said in zip(by_node.items(), replies, strict=True):
                for number, reply in zip(numbers, said, strict=True) if isinstance(said, list) else ():
                    answers[number] = reply
                    if isinstance(reply, AskError):
                        asking[number] = _named(reply, node)
                    elif isinstance(reply, MovedError):
                        self._servers[slots[number]] = _named(reply, node)
                    elif isinstance(reply, NoScriptError) and node is not None:
                        loads.add(node)
                        if number in asked:
                            asking[number] = node
                    elif isinstance(reply, TryAgainError):
                        pause_s = TRY_AGAIN_S
                    else:
                        continue
                    waiting.append(number)
                if isinstance(said, BaseException):
                    # Which node serves its slots next is for the next call to find out.
                    self._servers = {}
                    for number in numbers:
                        answers[number] = said
            if not waiting or not self._servers:
                break
            if pause_s:
                await asyncio.sleep(pause_s)
        return answers

    async def _ask(
        self,
        node: Address | None,
        texts: Sequence[bytes],
        numbers: Sequence[int],
        asking: dict[int, Address],
        loads: set[Address],
    ) -> list[Any]:
        """Return one node's replies to some of the calls."""
        if node is None:
            raise RedisError("no node of the cluster serves the slot")
        commands: list[bytes] = [LOAD] if node in loads else []
        wanted = []
        for number in numbers:
            if number in asking:
                commands.append(_ASKING)
            wanted.append(len(commands))
            commands.append(texts[number])
        replies = await self._node_client(node).exchange(commands)
        answers = [replies[at] for at in wanted]
        return [loaded(replies[0], each) for each in answers] if node in loads else answers

    def _node_client(self, address: Address) -> ServerClient:
        node_client = self._wires.get(address)
        if node_client is None:
            node_client = self._wires[address] = ServerClient(partial(self._dial, *address))
        return node_client

    def close_connections(self) -> None:
        """Close all connections, and forget which node serves what."""
        self._servers = {}
        if self._posted is not None:
            self._posted.cancel()
        for node_client in self._wires.values():
            node_client.close_connections()
        self._wires.clear()


def _named(reply: AskError, node: Address | None) -> Address:
    """Return where a node sends a call; one without a name is the node itself."""
    return (reply.host or (node or ("", 0))[0], reply.port)
