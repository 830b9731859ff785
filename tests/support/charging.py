"""Limits per cluster that only remember what they were charged."""

from __future__ import annotations

from collections.abc import Iterable


class Noted:
    """Stands in for `Budgets`."""

    def __init__(self) -> None:
        self.carried: list[tuple[int, int]] = []
        self.charged: list[tuple[int, int]] = []

    def carry(self, pairs: Iterable[tuple[int, int]], now_ns: int) -> None:
        """Remember what would have been carried."""
        self.carried += pairs

    def charge(self, debts: Iterable[tuple[int, int]], now_ns: int) -> None:
        """Remember what would have been charged."""
        self.charged += debts
