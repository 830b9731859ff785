"""The changes of a deployment on one line of time: its journal, and acts and actors that are not in it yet.

Workers write into the journal within a second or two. What the log of acts and the correlator have shows
at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ratelimit.decision import VERDICTS, cluster_name
from ratelimit.inspection import formatting
from ratelimit.inspection.access.host_state import unheard_words
from ratelimit.inspection.acts.acting import known_acts
from ratelimit.inspection.acts.words import line_of
from ratelimit.inspection.callers.knowledge import Knowledge
from ratelimit.inspection.journal.entries import Entry, act_line, journal_of
from ratelimit.inspection.journal.outage import outage_words
from ratelimit.inspection.journal.outages import folded
from ratelimit.stores.acts.act import Act


@dataclass(frozen=True)
class Changes:
    """What changed, the latest first; outages are folded."""

    entries: Sequence[Entry]
    trouble: Sequence[str]
    """What keeps this from being the whole, each in a sentence."""

    def actor_of(self, entry: Entry) -> int | None:
        """Return the actor that an entry is about."""
        actor = entry.fields.get("actor")
        return int(actor, 16) if isinstance(actor, str) and actor.isalnum() and len(actor) == 16 else None


def changes_of(known: Knowledge, since_ns: int = 0, of: Collection[str] = (), *, most: int = 500) -> Changes:
    """Return what changed since an instant.

    Args:
        known: what is known here.
        since_ns: from when on, since 1970.
        of: what it is to be about, as `Entry.is_of` has it; empty for all.
        most: how many entries at most.

    Raises:
        StoreError: no log of acts can be read.
    """
    trouble = []
    with journal_of(known.deployment.policy) as journal:
        entries = list(journal.entries(since_ns, of))
        if journal.is_away:
            trouble.append(outage_words(known.deployment.policy, known.here))
        trouble += [
            f"Nothing is heard of {host}, {unheard_words(silent_s, is_silent=True)}."
            for host, silent_s in journal.missing.items()
        ]
        noted = {(each.kind, each.fields.get("act") or each.fields.get("actor")) for each in entries}
    log = known_acts(known.deployment)
    by_identity = {act.identity_in_log: act for act in log}
    more = [_entry_of_act(act, by_identity) for act in log]
    rules = known.compiled.rules
    more += [
        Entry(
            actor.first_s * 10**9,
            "",
            "actor-found",
            cluster_name(actor.identity) or "",
            f"actor found: now {formatting.verdict_words(VERDICTS[actor.verdict], rules) or 'cleared'}, "
            f"{formatting.count(len(actor.members), 'account')}",
            {"actor": cluster_name(actor.identity)},
        )
        for actor in known.actors
    ]
    entries += [
        each
        for each in more
        if (each.kind, each.fields.get("act") or each.fields.get("actor")) not in noted
        and each.time_ns >= since_ns
        and (not of or each.is_of(of))
    ]
    return Changes(folded(entries)[::-1][:most], trouble)


def _entry_of_act(act: Act, undone: Mapping[tuple[int, int], Act]) -> Entry:
    is_undo = act.of.is_undo
    about = undone.get((act.undoes or 0, act.undoes_ns), act) if is_undo else act
    label = act.says or str(act.undoes) if about is act and is_undo else about.label
    said = act_line(label, "undone" if is_undo else "made", line_of(about), act.by, act.reason)
    hashes = [f"{one:016x}" for one in about.hashes]
    kind = "act-undone" if is_undo else "act-made"
    return Entry(act.at_ns, "", kind, label, said, {"act": label, "of": hashes, "limits": [*about.numbers]})
