"""The forms: what a person types, a preview, the act. One that is refused comes back as it was typed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from starlette.responses import Response

from ratelimit.console.rendering import named
from ratelimit.console.visit import STATUS, Visit
from ratelimit.inspection.acts.acting import author, confirmed
from ratelimit.inspection.callers.knowledge import Knowledge
from ratelimit.inspection.callers.naming import payment_identity, resolve, resolved_network
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.journal.entries import write_note
from ratelimit.inspection.proposals import proposal
from ratelimit.inspection.proposals.proposal import Proposal
from ratelimit.stores.acts.act import Act

SHORTLY_S = 1.0
"""How long a page waits for hosts to confirm an act; the act's own page shows what became of it."""
FIELDS = (
    "kind",
    "who",
    "beside",
    "from",
    "name",
    "payment",
    "network",
    "act",
    "numbers",
    "of",
    "for",
    "reason",
    "since",
    "about",
    "text",
)
"""The fields of forms that come back."""
_MEANING = ("kind", "who", "from", "name", "payment", "network", "act", "numbers", "of")
"""Those that say which act is meant."""
_NETWORK = re.compile(r"[0-9a-fA-F.:]+/\d{1,3}")
_HASH = re.compile(r"[0-9a-f]{16}")


class Wrong(InspectionFailure):
    """A field of a form is wrong.

    Args:
        field: its name.
        failure: what is wrong with it.
    """

    def __init__(self, field: str, failure: InspectionFailure) -> None:
        super().__init__(str(failure), failure.cause, hint=failure.hint)
        self.field = field


@contextmanager
def _in(field: str) -> Iterator[None]:
    """Say of a failure which field it is about."""
    try:
        yield
    except Wrong:
        raise
    except InspectionFailure as failure:
        raise Wrong(field, failure) from failure


def find(visit: Visit) -> Response:
    """Look somebody up by a value or a hash; the address of what is found has hashes alone."""
    written = [each for each in (visit.one("who").strip(), visit.one("beside").strip()) if each]
    try:
        with visit.observation.known() as known:
            with _in("who"):
                if not written:
                    hint = "Write an account, an address or a hash."
                    raise InspectionFailure("nobody is named", "call", hint=hint)
                caller = resolve(known, written[0])
            with _in("beside"):
                others = [resolve(known, each) for each in written[1:]]
            if caller.what == "actor" and not others:
                return visit.to("/actor", id=f"{caller.hash:016x}")
            return visit.to("/person", who=[named(each) for each in (caller, *others)])
    except Wrong as wrong:
        return again(visit, wrong, kind="find")


def again(visit: Visit, failure: InspectionFailure, *, kind: str = "", status: int | None = None) -> Response:
    """Return a form with what was typed, what is wrong beside the field, and a way on."""
    kind = kind or visit.one("kind") or "find"
    if failure.cause == "deployment":
        raise failure
    field = failure.field if isinstance(failure, Wrong) else {"undo": "act", "note": "text"}.get(kind, "who")
    return visit.page(
        "again",
        status=status or STATUS[failure.cause],
        kind=kind,
        values=_typed(visit),
        wrong={field: failure},
        back=_back(visit),
    )


def _typed(visit: Visit) -> Mapping[str, str]:
    return {name: " ".join(visit.all(name)) for name in FIELDS}


def _back(visit: Visit) -> tuple[str, str]:
    """Return the page that a form was on, and what it is."""
    actor, act = visit.one("of"), visit.one("act")
    if visit.one("text") or visit.one("about"):
        return visit.path("/changes", of=visit.words("about")), "Back to what happened"
    who = visit.all("who")
    hashed = who[0] if len(who) == 1 else ""
    name, _, digits = hashed.partition("=")
    if name == "actor" and _HASH.fullmatch(digits):
        actor = digits
    if _HASH.fullmatch(actor):
        return visit.path("/actor", id=actor), "Back to the actor"
    if act:
        return visit.path("/audit"), "Back to the acts"
    if digits.startswith("hash:") or hashed.startswith("hash:"):
        return visit.path("/person", who=hashed), "Back to the caller"
    return visit.path("/"), "To the first page"


# -- acts ----------------------------------------------------------------------------------------


def preview(visit: Visit) -> Response:
    """Show what an act would do, with a form that does it."""
    try:
        with visit.observation.known() as known:
            return _asking(visit, _proposed(visit, known))
    except InspectionFailure as failure:
        return again(visit, failure)


def make(visit: Visit) -> Response:
    """Do an act, if it still is what its preview showed."""
    try:
        with visit.observation.acting, visit.observation.known() as known:
            proposed = _proposed(visit, known)
            if visit.one("agreed") != _digest(proposed):
                return _asking(visit, proposed, is_stale=True)
            try:
                done = _done(visit, known, proposed)
            except InspectionFailure as failure:
                if failure.cause == "deployment":
                    raise
                return _asking(visit, proposed, failure=failure)
    except InspectionFailure as failure:
        return again(visit, failure)
    return visit.to("/act", act=done.label)


def _done(visit: Visit, known: Knowledge, proposed: Sequence[Proposal]) -> Act:
    with _in("for"):
        for_ns = proposal.span_ns(visit.one("for", "1d"))
    reason = visit.one("reason").strip()
    for each in proposed:
        done = each.do(known.deployment, for_ns=for_ns, reason=reason, by=visit.visitor.name)
    confirmed(known.deployment, done, SHORTLY_S)
    return done


def _digest(proposed: Sequence[Proposal]) -> str:
    return "-".join(each.digest for each in proposed)


def _asking(
    visit: Visit,
    proposed: Sequence[Proposal],
    *,
    is_stale: bool = False,
    failure: InspectionFailure | None = None,
) -> Response:
    wrong = {} if failure is None else {getattr(failure, "field", "reason"): failure}
    status = 409 if is_stale else 200 if failure is None else STATUS[failure.cause]
    return visit.page(
        "preview",
        status=status,
        kind=proposed[0].kind,
        agreed=_digest(proposed),
        does=[said for each in proposed for said in each.preview.does],
        doubts=[said for each in proposed for said in each.preview.doubts],
        hints=list(dict.fromkeys(each.preview.hint for each in proposed if each.preview.hint)),
        ends=all(each.ends for each in proposed),
        fields=[(name, value) for name in _MEANING for value in visit.all(name) if value],
        span=visit.one("for", "1d"),
        reason=visit.one("reason"),
        is_stale=is_stale,
        wrong=wrong,
        back=_back(visit),
    )


def _proposed(visit: Visit, known: Knowledge) -> list[Proposal]:
    word = visit.one("kind").removeprefix("budget ")
    if word not in proposal.BUDGETS:
        return [_one_proposed(visit, known)]
    written = [one.strip() for one in visit.one("numbers").replace("\n", ",").split(",") if one.strip()]
    with _in("who"):
        resolve(known, visit.one("who"))
    with _in("numbers"):
        found = proposal.budgets(known, word, visit.one("who"), written)
        if not found:
            raise InspectionFailure("no limit is named", "call", hint="Write LIMIT=NUMBER.")
    return found


def _one_proposed(visit: Visit, known: Knowledge) -> Proposal:
    kind = visit.one("kind")
    names = visit.words("who")
    if kind == "undo":
        with _in("act"):
            return proposal.undo(known, visit.one("act").strip())
    if kind == "organisation":
        return _organisation(visit, known, names)
    if kind in proposal.OF_ACCOUNTS:
        with _in("who"):
            return proposal.of_accounts(known, kind, names)
    if kind not in ("exempt", "stop"):
        raise InspectionFailure("there is no such act", "call")
    with _in("who"):
        if len(names) != 1:
            raise InspectionFailure(f"`{kind}` takes one caller", "call")
        if kind == "stop":
            return proposal.stop(known, names[0])
        return proposal.exempt(known, names[0], visit.one("from") or None)


def _organisation(visit: Visit, known: Knowledge, accounts: Sequence[str]) -> Proposal:
    name = visit.one("name").strip()
    payments = visit.words("payment")
    places = visit.words("network")
    with _in("name"):
        if not name:
            raise InspectionFailure("an organisation needs a name, for the list of acts", "call")
    with _in("payment"):
        networks = [one for one in payments if _NETWORK.fullmatch(one)]
        if networks:
            raise InspectionFailure(
                f"`{networks[0]}` is a network", "call", hint="Write it into the field of networks."
            )
        for one in payments:
            resolve(known, one, payment_identity(known))
    with _in("network"):
        for one in places:
            resolved_network(known, one)
    with _in("who"):
        for one in accounts:
            resolve(known, one)
    with _in("payment" if not payments and not places else "who"):
        return proposal.organisation(known, name, payments, accounts, places)


def note(visit: Visit) -> Response:
    """Write a note into the journal of all hosts, about an actor, a caller, or nobody: it changes nothing."""
    text, about = visit.one("text").strip(), visit.words("about")
    try:
        with _in("text"):
            if not text:
                raise InspectionFailure("a note needs a text", "call")
            if not all(map(_HASH.fullmatch, about)):
                raise InspectionFailure("a note is about callers by their hashes", "call")
    except InspectionFailure as failure:
        return again(visit, failure, kind="note")
    with visit.observation.journal() as journal:
        write_note(journal, text, about, author(visit.visitor.name))
    return visit.to("/changes", since="7d", of=about)


ACTING: Mapping[str, Callable[[Visit], Response]] = {
    "/find": find,
    "/preview": preview,
    "/acts": make,
    "/note": note,
}
