"""Operators that make mutants of a source: those of cosmic-ray, and one that removes a statement.

cosmic-ray reads a source with parso, which goes on after what it does not know. So it mutates the bodies of
Cython's functions too. A declaration is an error to parso, and is left alone up to its `=`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator
from parso.python.tree import Name

SWAPS = {
    "Binary": """Add_Sub Sub_Add Mul_FloorDiv Div_Mul FloorDiv_Mul Mod_FloorDiv Pow_Mul
        RShift_LShift LShift_RShift BitOr_BitAnd BitAnd_BitOr BitXor_BitOr""",
    "Comparison": """Eq_NotEq NotEq_Eq Lt_LtE Lt_Gt LtE_Lt LtE_GtE
        Gt_GtE Gt_Lt GtE_Gt GtE_LtE Is_IsNot IsNot_Is""",
    "Unary": "USub_UAdd Delete_Not",
}
"""Swaps that keep the types: any test notices that a text is shifted, which says little of the tests."""
SINGLE = """AddNot ReplaceTrueWithFalse ReplaceFalseWithTrue ReplaceAndWithOr ReplaceOrWithAnd NumberReplacer
    ReplaceBreakWithContinue ReplaceContinueWithBreak ExceptionReplacer ZeroIterationForLoop"""


class RemoveStatement(Operator):  # type: ignore[misc]  # cosmic-ray has no types
    """Put `pass` for a call, a raise, or an assignment that others can see."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        if node.type != "simple_stmt":
            return
        statement = node.children[0]
        target = statement.children[0] if statement.type == "expr_stmt" else statement
        seen = target.type in ("atom_expr", "power")  # an attribute or an item is assigned, or it is a call
        counted = statement.type == "expr_stmt" and getattr(statement.children[1], "value", "=") != "="
        if seen or counted or statement.type == "raise_stmt":
            yield statement.start_pos, statement.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        statement = node.children[0]
        node.children[0] = Name("pass", statement.start_pos, statement.get_first_leaf().prefix)
        return node

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


@cache
def operators() -> dict[str, Operator]:
    """Return each operator by its name."""
    swaps = [f"Replace{kind}Operator_{swap}" for kind, some in SWAPS.items() for swap in some.split()]
    names = swaps + SINGLE.split()
    return {name: get_operator(f"core/{name}")() for name in names} | {"RemoveStatement": RemoveStatement()}


@dataclass(frozen=True)
class Mutant:
    """A source with one thing changed."""

    path: str
    line: int
    operator: str
    occurrence: int

    def text(self, source: str) -> str | None:
        """Return the changed source; None if it would not be Python, or means the same."""
        try:
            text = mutate_code(source, operators()[self.operator], self.occurrence)
            if text is None or text == source:
                return None
            if self.path.endswith(".py"):
                compile(text, self.path, "exec")
        except (SyntaxError, ValueError, AssertionError, IndexError):
            return None
        return text


def is_declared(node: Any, start: tuple[int, int], line: str) -> bool:
    """Return whether a place is part of an annotation, an import, or a declaration of Cython."""
    words = line.split()
    if words and words[0] in ("cdef", "cpdef", "ctypedef", "cimport", "from", "import", "@"):
        equals = line.find("=")
        return line.rstrip().endswith(":") or not 0 <= equals < start[1]
    while node.parent is not None:
        parent, kind = node.parent, node.parent.type
        if kind in ("import_from", "import_name", "decorator", "tfpdef"):
            return True
        if kind == "annassign" and node is parent.children[1]:
            return True
        if kind == "funcdef" and node is parent.annotation:
            return True
        node = parent
    return False


def places(path: str, source: str) -> list[list[Mutant]]:
    """Return for each place of a source that an operator can change: the mutants it can become there."""
    lines = source.splitlines()
    counts = dict.fromkeys(operators(), 0)
    found: dict[tuple[tuple[int, int], str], list[Mutant]] = {}
    for node in ast_nodes(get_ast(source)):
        for name, operator in operators().items():
            try:
                positions = list(operator.mutation_positions(node))
            except (AttributeError, IndexError):  # what a declaration of Cython looks like
                positions = []
            for start, _ in positions:
                if not is_declared(node, start, lines[start[0] - 1]):
                    mutant = Mutant(path, start[0], name, counts[name])
                    found.setdefault((start, name.split("_")[0]), []).append(mutant)
                counts[name] += 1
    return [found[key] for key in sorted(found)]


def drawn(root: Path, paths: list[str], seed: str) -> Iterator[Mutant]:
    """Yield mutants of sources in an order that the seed gives: each place once, as one of its mutants."""
    source = random.Random(seed)
    found = [place for path in paths for place in places(path, (root / path).read_text())]
    source.shuffle(found)
    for place in found:
        yield source.choice(place)
