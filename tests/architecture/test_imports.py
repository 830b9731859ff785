"""Who may know whom: the arrows between the packages, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).absolute().parents[2]
PACKAGE = ROOT / "ratelimit"

# From the top down. A layer may import those below it, and nothing of its own or above.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"cli"}),
    frozenset({"demo"}),
    frozenset({"asgi", "console"}),
    frozenset({"limiter", "hosts"}),
    frozenset({"policy", "identity", "telemetry", "stores", "correlation", "adaptive", "traces"}),
    frozenset({"core"}),
    frozenset({"errors", "clock", "decision", "codes", "diagnoses", "finding", "location", "extras", "file"}),
    frozenset({"printable"}),
)
LIMITER = next(number for number, layer in enumerate(LAYERS) if "limiter" in layer)
PURE = ("core", "policy", "identity", "correlation", "adaptive", "traces")
IMPURE = {
    "asyncio", "threading", "logging", "time", "socket", "ssl", "random",
    "redis", "prometheus_client", "starlette", "click", "rich",
}  # fmt: skip
OWNERS = {
    "redis": ("stores/redis",),
    "prometheus_client": ("telemetry",),
    "click": ("cli", "demo"),
    "rich": ("cli", "demo"),
    "starlette": ("asgi", "console", "demo"),
}


def part_of(module: str) -> str:
    """Return the part of the package that a module belongs to: its first name below the package."""
    names = module.split(".")
    return names[1] if len(names) > 1 else ""


def modules() -> Iterator[tuple[str, Path]]:
    """Yield every module of the package with its dotted name."""
    for path in sorted(PACKAGE.rglob("*.py*")):
        if path.suffix not in {".py", ".pyi"} or "__pycache__" in path.parts:
            continue
        relative = path.relative_to(ROOT).with_suffix("")
        yield ".".join(relative.parts).removesuffix(".__init__"), path


def for_typing_only(tree: ast.Module) -> set[ast.AST]:
    """Return the statements under `if TYPE_CHECKING`."""
    return {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }


def imports(path: Path, *, typing_too: bool = True) -> Iterator[tuple[str, int]]:
    """Yield each module that a file imports, with its line."""
    tree = ast.parse(path.read_text())
    skipped = set() if typing_too else for_typing_only(tree)
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            assert node.module is not None
            yield node.module, node.lineno
            if node.module == "ratelimit":
                yield from ((f"ratelimit.{alias.name}", node.lineno) for alias in node.names)


def depth(part: str) -> int:
    """Return how far down a part lies; a single module beside the packages helps the limiter."""
    return next((number for number, layer in enumerate(LAYERS) if part in layer), LIMITER)


MODULES = dict(modules())
each_module = pytest.mark.parametrize("module", MODULES)


def test_every_part_has_a_layer_or_belongs_to_the_limiter() -> None:
    parts = {part_of(module) for module in MODULES} - {""}
    assert parts >= {"core", "errors", "clock", "decision"}
    known = frozenset().union(*LAYERS)
    unknown = {part for part in parts - known if (PACKAGE / part).is_dir()}
    assert not unknown, "a new package needs its place in LAYERS"


@each_module
def test_arrows_point_down(module: str) -> None:
    part = part_of(module)
    here = depth(part)
    for imported, line in imports(MODULES[module], typing_too=False):
        other = part_of(imported)
        if not imported.startswith("ratelimit.") or other == part or module == "ratelimit":
            continue
        helps = here == depth(other) == LIMITER
        assert depth(other) > here or helps, f"{MODULES[module]}:{line}: {module} imports {imported}"


@each_module
def test_pure_parts_know_no_loop_no_clock_no_log(module: str) -> None:
    if part_of(module) not in PURE:
        return
    for imported, line in imports(MODULES[module]):
        assert imported.split(".")[0] not in IMPURE, f"{MODULES[module]}:{line}: {imported}"


@each_module
def test_outside_libraries_have_one_owner_each(module: str) -> None:
    place = module.removeprefix("ratelimit.").replace(".", "/")
    for imported, line in imports(MODULES[module]):
        owners = OWNERS.get(imported.split(".")[0])
        if owners is not None:
            assert place.startswith(owners), f"{MODULES[module]}:{line}: {imported} belongs to {owners}"


@each_module
def test_only_the_clock_reads_clocks(module: str) -> None:
    if module in {"ratelimit.clock"} or part_of(module) in {"cli", "demo"}:
        return
    path = MODULES[module]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            source = ast.unparse(node.func)
            reads = source in {"time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns"} or (
                source.endswith((".utcnow", ".now", ".today")) and source.startswith(("datetime", "date"))
            )
            assert not reads, f"{path}:{node.lineno}: {source}"


@each_module
def test_modules_say_what_they_are(module: str) -> None:
    text = MODULES[module].read_text()
    assert not text.strip() or ast.get_docstring(ast.parse(text)), f"{MODULES[module]} has no docstring"


def test_only_asgi_sees_a_scope() -> None:
    for module, path in MODULES.items():
        if part_of(module) in {"asgi", "console", "cli", "demo"}:
            continue
        names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        names |= {node.arg for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.arg)}
        assert "scope" not in names, path
