"""What limits say of a request, in words."""

from __future__ import annotations

from collections.abc import Sequence

from ratelimit.cli.terminal import Text
from ratelimit.decision import Decision, Reason
from ratelimit.inspection import formatting
from ratelimit.inspection.requests.decision import LimitLine
from ratelimit.stores.acts.act import Act
from ratelimit.usage.explanation import Source
from ratelimit.waiting.explanation import Wait

_GUESSED = {"average": "as requests took on average", "first": "as before anything is learned"}


def verdict_words(
    line: LimitLine, *, is_passed: bool = False, guessed: Source | None = None
) -> tuple[Text, str]:
    """Return a mark and a sentence for people."""
    verdict = line.verdict
    if verdict is None:
        return Text("–", "dim"), line.why_not
    left = f"{formatting.amount(verdict.remaining, verdict.unit)} left"
    if guessed is not None:
        left = f"takes {formatting.amount(verdict.cost, verdict.unit)}, {_GUESSED[guessed]}: {left}"
    if verdict.factor < 1:
        left += f" of {verdict.factor:.0%} of what it allows"
    if line.rule.is_twin:
        left = f"{left} if it bound likely actors"
    if verdict.allowed:
        if verdict.reset_after_ns:
            left += f", all again in {formatting.wait(verdict.reset_after_ns)}"
        if verdict.step is not None:
            return Text("✔", "yellow"), f"passes after a strike ({verdict.step}), by the whole limit: {left}"
        return Text("○" if line.rule.is_twin else "✔", "green"), left
    if verdict.is_used_up:
        says = f"costs {formatting.amount(verdict.cost, verdict.unit)}, {left}, and time gives nothing back"
    elif verdict.reduced_to is not None:
        most = formatting.amount(verdict.reduced_to, verdict.unit)
        says = f"costs {formatting.amount(verdict.cost, verdict.unit)}, more than the {most} "
        says += "that it holds here while the server is away"
    elif verdict.retry_after_ns is None:
        says = f"costs {formatting.amount(verdict.cost, verdict.unit)}, more than it ever holds"
    else:
        says = f"{left}, retry in {formatting.wait(verdict.retry_after_ns)}"
    if verdict.shadow:
        why = "likely" if line.rule.is_twin else "shadow"
        return Text("○", "yellow"), f"would refuse ({why}): {says}"
    step = line.rule.following
    if step.admits or (step.asks and is_passed):
        return Text("✔", "yellow"), f"{step.passed}: {says}"
    if step.asks:
        says = f"{step.asked}: {says}"
    return Text("✘", "bold red"), says


_CROWDED = "the path can be read in ways that together fall under too many rules"
_WHY = {
    Reason.LIMITS: "every limit that applies has room",
    Reason.UNLIMITED: "no limit applies",
    Reason.ALLOW_LIST: "on the allow list",
    Reason.DENY_LIST: "on the deny list",
    Reason.IDENTITY: "an identity the policy insists on is missing",
    Reason.STORE: "the store failed",
}


def untold_words(names: Sequence[str]) -> Text:
    """Return what is said where the outcome depends on what the application alone knows.

    Args:
        names: the identities.
    """
    listed = " and ".join(names)
    verb = "comes" if len(names) == 1 else "come"
    given = " ".join(f"{name}=VALUE" for name in names)
    text = Text("cannot be known here", "bold yellow")
    said = f": {listed} {verb} from the application; add {given} to the request"
    return text + Text(said, "not bold default")


def outcome_words(
    decision: Decision,
    wait: Wait | None,
    act: Act | None,
    missing: Sequence[str],
    *,
    has_room: bool = True,
) -> Text:
    """Return it for people.

    Args:
        decision: what was decided.
        wait: how it waits for room; None where it does not.
        act: the operator's act that lets it through, or stops it.
        missing: names of the identities that it lacks.
        has_room: whether the limit that follows the load lets it go on.
    """
    if decision.allowed and not has_room:
        text = Text("no room", "bold yellow")
        return text + Text(": its limits allow it, and [adaptive] has no room for it now", "not bold default")
    if decision.allowed:
        why = _WHY[decision.reason]
        if decision.reason is Reason.ALLOW_LIST and act is not None:
            why = f"exempt by act {act.label}, made by {act.by}, see `ratelimit show acts`"
        return Text("allowed", "bold green") + Text(f": {why}", "not bold default")
    if wait is not None and not wait.is_in_vain:
        when = (
            ""
            if wait.room_in_ns is None
            else f"; room in {formatting.wait(wait.room_in_ns)}, if none is ahead"
        )
        said = f" for “{wait.limit}”, {formatting.wait(wait.most_ns)} at most{when}"
        return Text("waits", "bold yellow") + Text(said, "not bold default")
    text = Text("refused", "bold red")
    if decision.limit is None:
        why = _CROWDED if decision.reason is Reason.LIMITS else _WHY[decision.reason]
        if decision.reason is Reason.DENY_LIST and act is not None:
            why = f"stopped by act {act.label}, made by {act.by}, see `ratelimit show acts`"
        if decision.reason is Reason.IDENTITY:
            why += f": {', '.join(missing)}"
        return text + Text(f": {why}", "not bold default")
    wait_ns = decision.retry_after_ns
    if wait_ns is not None:
        advice = f"retry in {formatting.wait(wait_ns)}"
    elif any(one.is_used_up and one.limit == decision.limit for one in decision.verdicts):
        advice = "no wait can help: it is used up until more is added"
    elif (one := decision.binding) is not None and one.reduced_to is not None:
        most = formatting.amount(one.reduced_to, one.unit)
        advice = f"the server is away, and until it is back a request may ask for {most} at most"
    else:
        advice = "no wait can help: it costs more than the limit ever holds"
    if wait is not None:
        advice += f", more than the {formatting.wait(wait.most_ns)} it may wait"
    return text + Text(f" by “{decision.limit}”, {advice}", "not bold default")
