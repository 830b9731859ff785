"""Random programs of requests that run at the same time, and what each of them has to cost.

A program begins requests, lets their answers go on receipt by receipt, each with a model of its own, and ends
them in every way. `Truth` knows by itself what each has to be charged: the receipts that were sent, the
estimate of an answer that said nothing, and nothing of one that failed before. It has sums and no buckets.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

from ratelimit import Limiter, RateLimitMiddleware
from ratelimit.budgets.compile import most_units
from ratelimit.deciding.variant import with_number
from ratelimit.usage.ending import AnswerCut
from tests.asgi.driver import Client
from tests.usage.answers import EVENTS
from tests.usage.forms import completed, responses_usage, sse
from tests.usage.reference.learned import Learned
from tests.usage.reference.request import Body, fields_of

BUDGET, MOST, EXPOSURE = 6000, 2000, 4
USEFUL, MONEY = 1024, 900_000_000
"""The least grant that makes an answer; micro-dollars of an account."""
ACCOUNTS = ("a", "b", "c")
PRICES = {"small": (1, 5), "large": (50, 250), "free": (0, 0)}
assert USEFUL <= BUDGET // 4
MODELS = (*PRICES, "unheard-of", None)
PRICE_TABLES = "".join(
    f"[prices.{name}]\ninput = {read}\noutput = {output}\n" for name, (read, output) in PRICES.items()
)
ENDINGS = ("finish", "finish", "finish", "fail", "raise", "gone", "cancel")
AT_ONCE = 14
STEPS = 220


def limits(form: str, *, cuts: bool) -> tuple[str, str]:
    """Return the lines of two limits after their names: tokens of each account, and its dollars.

    Args:
        form: `exposure`, `full` for an exposure of 1, or `grant`.
        cuts: whether streams end once the tokens are used up.
    """
    common = 'match = "POST /v1/*"\nper = "account"\nalgorithm = "fixed-window"\nusage = "auto"\n'
    words = {
        "exposure": f'cost = "learned"\nexposure = {EXPOSURE}\n',
        "full": 'cost = "learned"\nexposure = 1\n',
        "grant": 'cost = "learned"\nexposure = "grant"\n',
    }[form]
    cut = 'on_refusal = ["cut"]\n' if cuts else ""
    tokens = f'{common}{words}{cut}unit = "output_tokens"\nrate = "{BUDGET}/year"\nmost = {MOST}\n'
    money = f'{common}cost = "learned"\nunit = "usd"\nrate = "900/year"\nmost = {MOST}\n'
    return tokens, money


def dollars(asked: str | None, answered: str | None, read: int, output: int) -> int:
    """Return micro-dollars for one receipt: by the dearer of the two models, as far as they have prices."""
    known = [PRICES[model] for model in (asked, answered) if model in PRICES] or [PRICES["large"]]
    costs = (read * of_input + output * of_output for of_input, of_output in known)
    return max(costs)


def tokens_of(size: int) -> int:
    """Return what so many bytes of text come to at least."""
    return max(1, size * 2 // 7)


@dataclass
class Receipt:
    """One response of an answer."""

    model: str | None
    read: int
    output: int


@dataclass
class Call:
    """One request."""

    account: str
    model: str | None
    declared: int | None
    commands: asyncio.Queue[Any] = field(default_factory=asyncio.Queue, repr=False)
    heard: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    begun: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    receipts: list[Receipt] = field(default_factory=list)
    words: int = 0
    """Bytes of text of a response that broke off."""
    produced: int = 0
    has_head: bool = False
    is_gone: bool = False
    is_cut: bool = False
    """Whether the application has seen that its stream was cut."""
    was_cut: bool = False
    word: str = ""
    how: str = ""
    status: int = 0
    exchange: Any = field(default=None, repr=False)
    outcome: Any = field(default=None, repr=False)
    at_first: tuple[int, ...] = ()
    body: bytes = b""
    raw: bytes = field(default=b"", repr=False)
    task: asyncio.Task[None] | None = field(default=None, repr=False)
    by_habit: bool = False
    habits: Learned = field(default_factory=Learned, repr=False)

    @property
    def size(self) -> int:
        """The bytes of its prompt, as they are looked at."""
        reading = Body(fields=fields_of("/v1/responses"))
        reading.feed(self.raw)
        return reading.declared(is_whole=True).size

    @property
    def allowance(self) -> int:
        """The most tokens that its provider produces."""
        said = json.loads(self.body).get("max_output_tokens")
        return MOST if said is None else min(int(said), MOST)

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        """Do what the program says."""
        self.exchange = scope["ratelimit"]
        self.outcome = self.exchange.outcome
        self.at_first = tuple(self.outcome.cost(at) for at in range(len(self.exchange.plan.rules)))
        while True:
            message = await receive()
            self.body += message["body"]
            if not message["more_body"]:
                break
        self.begun.set()
        while True:
            word, receipt = await self.commands.get()
            self.word = word
            try:
                if not self.has_head and word in ("receipt", "words", "finish"):
                    await send(
                        {
                            "type": "http.response.start",
                            "status": 200,
                            "headers": [(b"content-type", EVENTS)],
                        }
                    )
                    self.has_head = True
                if word == "receipt":
                    self.produced += receipt.output
                    number = len(self.receipts)
                    usage = responses_usage(receipt.read, receipt.output)
                    named = {} if receipt.model is None else {"model": receipt.model}
                    documents = completed(number, usage, **named)
                    if receipt.model is None:
                        for one in documents:
                            one.get("response", {}).pop("model", None)
                    chunk = sse(documents, done=False)
                    # Counted before: what is sent to a client that is gone was produced all the same.
                    self.receipts.append(receipt)
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                elif word == "words":
                    self.words += receipt
                    delta = {"type": "response.output_text.delta", "item_id": "m", "delta": "w" * receipt}
                    chunk = sse([delta], done=False)
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                elif word == "finish":
                    await send({"type": "http.response.body", "body": b""})
                    return
                elif word == "fail":
                    await send({"type": "http.response.start", "status": 503, "headers": []})
                    await send({"type": "http.response.body", "body": b"{}"})
                    return
                elif word == "raise":
                    raise ZeroDivisionError
            except AnswerCut:
                self.is_cut = True
                if word == "receipt":  # that one was not sent
                    self.receipts.pop()
                elif word == "words":
                    self.words -= receipt
                raise
            finally:
                self.heard.set()


class Program:
    """A random program over some workers.

    Args:
        random: chooses.
        limiters: the workers.
        header: the header field that accounts are in.
        settled: waits until what workers said has come to where it is counted.
        form: see `limits`.
    """

    def __init__(
        self,
        random: Random,
        limiters: Sequence[Limiter],
        header: bytes,
        settled: Callable[[], Awaitable[None]],
        form: str,
    ) -> None:
        self.random = random
        self.limiters = limiters
        self.header = header
        self.settled = settled
        self.form = form
        self.clients = [
            Client(RateLimitMiddleware(self._app, limiter=limiter, reload_interval_s=0))
            for limiter in limiters
        ]
        self.habits = [Learned() for _ in limiters]
        self.calls: list[Call] = []
        self.open: list[Call] = []
        self.refused = 0

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        await scope["call"].application(scope, receive, send)

    async def run(self, after_each: Callable[[], Awaitable[None]]) -> None:
        """Run it, and end all that is under way."""
        for _ in range(STEPS):
            if len(self.open) < AT_ONCE and self.random.random() < 0.35:
                await self._begin()
            elif self.open:
                call = self.random.choice(self.open)
                if self.random.random() < 0.6:
                    await self._go_on(call)
                else:
                    await self._end(call, self.random.choice(ENDINGS))
            await after_each()
        while self.open:
            await self._end(self.open[-1], self.random.choice(ENDINGS))
            await after_each()

    async def _begin(self) -> None:
        random = self.random
        declared = random.choice((None, 50, 400, MOST, 9000))
        call = Call(random.choice(ACCOUNTS), random.choice(MODELS), declared)
        document: dict[str, Any] = {"input": "x" * random.choice((0, 30, 300))}
        if call.model is not None:
            document["model"] = call.model
        if declared is not None:
            document["max_output_tokens"] = declared
        call.raw = raw = json.dumps(document).encode()
        worker = random.randrange(len(self.clients))
        client = self.clients[worker]
        headers = [(self.header, call.account.encode()), (b"content-length", b"%d" % len(raw))]
        scope = client.scope("POST", "/v1/responses", headers)
        scope["call"] = call
        parts = [{"type": "http.request", "body": raw, "more_body": False}]

        async def receive() -> Any:
            return parts.pop() if parts else await asyncio.Event().wait()

        async def send(message: Any) -> None:
            if call.is_gone:
                raise OSError("the client is gone")
            if message["type"] == "http.response.start" and not call.status:
                call.status = message["status"]
            if message["type"] == "http.response.body" and not message.get("more_body"):
                call.was_cut = call.word in ("receipt", "words")

        async def run() -> None:
            with suppress(OSError, ZeroDivisionError):
                await client.app(scope, receive, send)

        left = self._left(call.account)
        call.task = asyncio.ensure_future(run())
        begun = asyncio.ensure_future(call.begun.wait())
        await asyncio.wait({call.task, begun}, return_when=asyncio.FIRST_COMPLETED)
        begun.cancel()
        if call.begun.is_set():
            call.habits = self.habits[worker]
            self.calls.append(call)
            self.open.append(call)
        else:
            assert call.status == 429, call
            self.refused += 1
        if left is not None:
            self._check_arrival(call, left)

    def _left(self, account: str) -> int | None:
        """Return how many tokens an account has left; None where only a server knows."""
        if not self.limiters[0].store.decides_here:
            return None
        mine = [call for call in self.calls if call.account == account]
        return max(0, BUDGET - sum(call.outcome.cost(0) for call in mine))

    def _check_arrival(self, call: Call, left: int) -> None:
        """Hold equal what a request was charged on arrival, or granted, and what the page says."""
        worst = MOST if call.declared is None else min(call.declared, MOST)
        useful = min(worst, USEFUL)
        if not call.begun.is_set():
            assert self.form != "grant" or left < useful or self.lacks_money(call), (call, left)
            return
        rules = call.exchange.plan.rules
        if self.form == "grant":
            granted = min(worst, max(useful, left // 2))
            assert call.exchange.grant == granted, (call, left, granted)
            assert call.at_first[0] == granted <= left
            assert json.loads(call.body)["max_output_tokens"] == granted
        elif self.form == "full":
            assert call.at_first[0] == max(worst, min(call.at_first[0], BUDGET // 16)) <= left
        else:
            assert [rule.is_exposure for rule in rules] == [False, True, False, True]
            assert call.at_first[1] == max(worst, call.at_first[0])
            assert call.at_first[0] <= max(1, BUDGET // 16)
            flying = [one for one in self.open if one.account == call.account]
            in_flight = sum(one.at_first[1] for one in flying)
            assert BUDGET - left + in_flight <= EXPOSURE * BUDGET

    def lacks_money(self, call: Call) -> bool:
        """Return whether an account's dollars may have refused a request."""
        mine = [one for one in self.calls if one.account == call.account]
        at = next(
            (at for at, rule in enumerate(mine[0].exchange.plan.rules) if rule.unit == "usd"), None
        ) if mine else None  # fmt: skip
        return at is not None and sum(one.outcome.cost(at) for one in mine) > MONEY - 2_000_000

    async def _tell(self, call: Call, word: str, more: Any = None) -> None:
        if call.is_cut:
            return
        call.heard.clear()
        call.commands.put_nowait((word, more))
        await call.heard.wait()

    async def _go_on(self, call: Call) -> None:
        room = call.allowance - call.produced
        if room < 25:
            await self._end(call, "finish")
            return
        output = self.random.randint(25, min(room, self.random.choice((60, 700, MOST))) if room > 25 else 25)
        receipt = Receipt(self.random.choice(MODELS), self.random.randrange(1, 400), output)
        await self._tell(call, "receipt", receipt)
        if call.is_cut:
            await self._ended(call, "cut")

    async def _end(self, call: Call, how: str) -> None:
        if how == "fail" and call.has_head:
            how = "raise"
        if how == "gone" and not call.has_head:
            how = "cancel"
        room = call.allowance - call.produced
        if how in ("raise", "gone", "cancel") and room > 100 and self.random.random() < 0.5:
            await self._tell(call, "words", self.random.randint(7, 300))
        if how == "cancel":
            assert call.task is not None
            call.task.cancel()
            call.heard.set()
        elif how == "gone":
            call.is_gone = True
            await self._tell(call, "words", 14)
        else:
            await self._tell(call, how)
        await self._ended(call, "cut" if call.is_cut else how)

    async def _ended(self, call: Call, how: str) -> None:
        assert call.task is not None
        with suppress(asyncio.CancelledError):
            await call.task
        call.how = how = "cut" if call.was_cut else how
        self.open.remove(call)
        habits, account = call.habits, call.account
        is_whole = how in ("finish", "cut")
        if not is_whole or how == "finish":
            is_left = how in ("gone", "cancel")
            call.by_habit = is_left and habits.leaves_by_habit(account)
            habits.ended(account, is_left)

    # -- what it has to cost ------------------------------------------------------------------------

    def expected(self, call: Call, unit: str, at_first: int) -> int:
        """Return what an ended request is to be charged in a unit."""
        rest = tokens_of(call.words) if call.words else 0
        seen, answered = (rest if unit == "output_tokens" else 0), None
        for one in call.receipts:
            # Of a connection the first response, or its head, may name the model for all.
            answered = answered if one.model is None else one.model
            cost = dollars(call.model, answered, one.read, one.output)
            seen += one.output if unit == "output_tokens" else cost
        if unit == "usd" and rest:
            with_prompt = dollars(call.model, answered, 0 if call.receipts else call.size * 2 // 7, rest)
            seen += dollars(call.model, answered, 0, rest)
            if not call.receipts and not call.by_habit and call.how != "cut":
                seen = max(seen, min(with_prompt, at_first))
        if not call.receipts and not rest:
            return at_first if call.how == "finish" or call.by_habit else 0
        if rest and (call.by_habit or call.how == "cut"):
            # Of a stream that was cut more may have been produced than was passed on.
            return max(seen, at_first)
        return seen

    async def check(self, *, at_rest: bool) -> None:
        """Hold equal what is charged and what has to be, of all accounts.

        Args:
            at_rest: whether nothing is under way, and what is in flight on a server may have drained.
        """
        await self.settled()
        if not self.calls:
            return
        plan = self.calls[0].exchange.plan
        for call in self.calls:
            if call.how:
                for at, rule in enumerate(plan.rules):
                    if rule.is_exposure:
                        continue
                    wanted = self.expected(call, rule.unit, call.at_first[at])
                    charged = call.outcome.cost(at)
                    assert charged == wanted, f"{rule.name} is {charged}, not {wanted}: {call}"
        for account in ACCOUNTS:
            mine = [call for call in self.calls if call.account == account]
            for at, rule in enumerate(plan.rules):
                if rule.is_exposure:
                    charged = sum(call.outcome.cost(at) for call in mine if not call.how)
                    for call in mine:
                        assert not call.how or call.outcome.cost(at) == 0, (account, call)
                    assert not at_rest or charged == 0
                else:
                    charged = sum(call.outcome.cost(at) for call in mine)
                yet = await self.used(rule, account)
                if yet is not None:
                    assert yet == charged, (account, rule.name, yet, charged)

    async def used(self, rule: Any, account: str) -> int | None:
        """Return what is used of a limit, beyond its number too; None where time takes part in it."""
        limiter = self.limiters[0]
        bound = limiter.current
        (value,) = (one for one in bound.extractor.value_hashes("account", account) if one >= 0)
        row = [value if at in rule.per else -1 for at in range(bound.extractor.listed_at + 1)]
        most = with_number(rule, most_units(rule))
        if rule.is_exposure:
            if not limiter.store.decides_here:
                return None
            most = rule
        plan = bound.plan_of([most])
        now_ns = limiter.now_ns()
        if plan.decides_here:
            seen = plan.peek(row, now_ns, (0,))
        else:
            seen = await plan.apeek(row, now_ns, (0,))
        return int(most.burst - seen.remaining(0))

    @property
    def produced(self) -> dict[str, int]:
        """What the provider has produced for each account."""
        found = dict.fromkeys(ACCOUNTS, 0)
        for call in self.calls:
            found[call.account] += call.produced + (tokens_of(call.words) if call.words else 0)
        return found
