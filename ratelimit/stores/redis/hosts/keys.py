"""The names of all keys that the correlators of several hosts meet at: one table.

One hash tag, so that a cluster keeps all of them in one slot and a script may touch
several. Nothing in a name comes from a client.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Places:
    """The keys of a deployment, by its prefix."""

    prefix: str

    def _name(self, rest: str) -> str:
        return f"{{{self.prefix}}}:{rest}"

    @property
    def lease(self) -> str:
        """The host that correlates; a string that expires."""
        return self._name("correlator:lease")

    @property
    def term(self) -> str:
        """The last term that was given out; a number that only grows."""
        return self._name("correlator:term")

    @property
    def sightings(self) -> str:
        """The sightings of all hosts; a capped stream."""
        return self._name("sightings")

    @property
    def assignments(self) -> str:
        """The clusters of accounts, change by change; a capped stream."""
        return self._name("assignments")

    @property
    def table(self) -> str:
        """The same as a whole: the head of a value in chunks."""
        return self._name("correlator:table")

    @property
    def snapshot(self) -> str:
        """The correlator's memory: the head of a value in chunks."""
        return self._name("correlator:snapshot")

    @property
    def acts(self) -> str:
        """The operator's acts; a list of lines."""
        return self._name("acts")

    @property
    def acts_restored(self) -> str:
        """There while hosts bring back acts that the server lost; a list that expires."""
        return self._name("acts:restored")

    @property
    def acts_applied(self) -> str:
        """The hosts that apply them; a hash with a field for each host."""
        return self._name("acts:applied")

    def acts_once(self, once: str) -> str:
        """The claim of a call that is to be done once; a list with one line that expires."""
        return self._name(f"acts:once:{once}")

    @property
    def inquiries(self) -> str:
        """What commands ask all hosts; a hash that expires."""
        return self._name("inquiries")

    def answers(self, inquiry: str) -> str:
        """The answers of hosts to an inquiry; a hash that expires."""
        return self._name(f"inquiries:{inquiry}")

    @property
    def conduct(self) -> str:
        """The record of accounts and clusters that struck; a hash."""
        return self._name("conduct")

    @property
    def conduct_changes(self) -> str:
        """Its keys by the number of their last change; a sorted set."""
        return self._name("conduct:changes")

    @property
    def conduct_number(self) -> str:
        """The number of the last change."""
        return self._name("conduct:number")

    @property
    def records(self) -> str:
        """The records of payers and of their pairs; a hash."""
        return self._name("records")

    @property
    def records_changes(self) -> str:
        """Their keys by the number of their last change; a sorted set."""
        return self._name("records:changes")

    @property
    def records_number(self) -> str:
        """The number of the last change."""
        return self._name("records:number")

    def load(self, group: str) -> str:
        """The hosts before one back end, by the name of its limit; a hash with a field for each host."""
        return self._name(f"load:{group}")

    def lines(self, journal: str) -> str:
        """The lines of a journal by the number of their arrival; a sorted set."""
        return self._name(journal)

    def lines_state(self, journal: str) -> str:
        """The number of its last line, and the epoch of these numbers; a hash."""
        return self._name(f"{journal}:state")

    def scratch(self, rest: str) -> str:
        """The key for trials, gone at once."""
        return self._name(f"doctor:{rest}")

    @staticmethod
    def chunks(head: str, version: str) -> str:
        """The chunks of one version of a value."""
        return f"{head}:{version}"
