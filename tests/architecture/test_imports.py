"""Imports between packages: the allowed arrows, read from the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from ratelimit.features import parts

ROOT = Path(__file__).absolute().parents[2]
PACKAGE = ROOT / "ratelimit"

# From the top down. A part may import those below it, and nothing of its own layer or above.
# A part is a folder or a loose module of the package. The one store factory has a place of its own,
# because it knows both policies and stores. A feature may import those behind it in their order.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"cli"}),
    frozenset({"demo"}),
    frozenset({"wsgi", "grpc", "serving", "console"}),
    frozenset({"testing", "integrations"}),
    frozenset({"inspection", "asgi"}),
    frozenset({"lab", "worker", "http"}),
    frozenset({"limiter"}),
    frozenset({"runtime"}),
    *(frozenset({feature}) for feature in parts.FEATURES if feature != "usage"),
    frozenset({"deciding"}),
    frozenset({"clustering", "tiers"}),
    frozenset({"stores.factory"}),
    frozenset({"telemetry", "identity", "stores", "policy"}),
    frozenset({"correlation", "usage", "model"}),
    frozenset({"core", "reference"}),
    frozenset({"events"}),
    frozenset({"errors", "clock", "decision"}),
    frozenset({"algorithms", "codes", "verdict"}),
    frozenset({"parsing", "decorators"}),
    frozenset({"environment", "features"}),
    frozenset({"facts"}),
)
LOOSE = {"limiter", "algorithms", "events", "errors", "clock", "decision", "verdict", "codes"}
"""The modules that lie in no folder: words that all packages share, and the facade. Eight at most."""
OWN_PLACE = {"stores.factory"}
FEATURES = frozenset(parts.FEATURES)
"""Folders with all of a feature. Some of their files have a floor of their own, that of `FLOORS`."""
FLOORS = {
    "records": "core",
    "schema": "policy",
    "compile": "policy",
    "pricing": "policy",
    "tables": "policy",
    "model": "model",
    "access": "identity",
    "memory": "stores",
    "history": "stores",
    "logs": "lab",
    "server": "stores",
    "metrics": "telemetry",
    "following": "worker",
    "keeping": "worker",
    "reports": "worker",
    "explanation": "inspection",
}
PURE = ("core", "reference", "policy", "identity", "correlation", "usage", "model")
IMPURE = {
    "asyncio", "threading", "logging", "time", "socket", "ssl", "random",
    "redis", "prometheus_client", "starlette", "click", "rich",
}  # fmt: skip
OWNERS = {
    "redis": ("stores/redis",),
    "prometheus_client": ("telemetry",),
    "click": ("cli", "demo"),
    "rich": ("cli", "demo"),
    "opentelemetry": ("integrations",),
    "yaml": ("parsing/yaml", "serving/domains"),
    "tomllib": ("parsing/toml",),
    "starlette": ("asgi", "console", "demo", "integrations"),
    "jinja2": ("console",),
    "markupsafe": ("console",),
    "anyio": ("console",),
}


@cache
def parsed(path: Path) -> ast.Module:
    """Return a file's syntax tree."""
    return ast.parse(path.read_text())


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """Return the nodes of a file's syntax tree."""
    return tuple(ast.walk(parsed(path)))


def part_of(module: str) -> str:
    """Return the part of the package that a module belongs to: its first name below the package."""
    top, *names = module.split(".")
    if top != "ratelimit":
        return ""
    if ".".join(names) in OWN_PLACE:
        return ".".join(names)
    if len(names) > 1 and names[0] in FEATURES:
        return FLOORS.get(names[1], names[0])
    return names[0] if names else ""


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
    tree = parsed(path)
    skipped = set() if typing_too else for_typing_only(tree)
    for node in nodes_of(path):
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
    """Return how far down a part lies."""
    return next(number for number, layer in enumerate(LAYERS) if part in layer)


MODULES = dict(modules())


def test_every_part_has_a_layer() -> None:
    parts = {part_of(module) for module in MODULES} - {""}
    assert parts >= {"core", "errors", "clock", "decision"}
    unknown = parts - frozenset().union(*LAYERS)
    assert not unknown, "a new part needs its place in LAYERS"


def test_few_modules_are_loose() -> None:
    found = {path.stem for pattern in ("*.py", "*.pyi") for path in PACKAGE.glob(pattern)}
    assert found - {"__init__"} == LOOSE
    assert len(LOOSE) <= 8


def test_arrows_point_down() -> None:
    upward = []
    for module, path in MODULES.items():
        part = part_of(module)
        for imported, line in imports(path) if part else ():
            other = part_of(imported)
            if other == part or not any(other in layer for layer in LAYERS):
                continue  # its own, another library's, or the package's face
            if depth(other) <= depth(part):
                upward.append(f"{path}:{line}: {module} imports {imported}")
    assert not upward


def targets(module: str) -> set[str]:
    """Return the modules of the package that one imports: at its top, in functions, and for typing."""
    found = set()
    for node in nodes_of(MODULES[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found.add(name if name in MODULES else node.module)
    return {name for name in found if name in MODULES and name not in {module, "ratelimit"}}


def circles(arrows: Mapping[str, set[str]]) -> list[set[str]]:
    """Return the sets of modules that lead back to themselves: what is left when all ends are cut off."""
    left = {module: set(others) for module, others in arrows.items()}
    while ends := {module for module, others in left.items() if not others & left.keys()}:
        left = {module: others for module, others in left.items() if module not in ends}
    found = []
    while left:
        circle, reached = set(), {next(iter(left))}
        while reached - circle:
            circle |= reached
            reached = set().union(*(left[module] & left.keys() for module in circle))
        found.append(circle)
        left = {module: others for module, others in left.items() if module not in circle}
    return found


def test_no_module_leads_back_to_itself() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) != []
    assert circles({module: targets(module) for module in MODULES}) == []


def test_no_compiled_module_leads_back_to_itself() -> None:
    sources = {
        ".".join(path.relative_to(ROOT / "ext").with_suffix("").parts): path
        for path in (ROOT / "ext").rglob("*.p[yx][xd]")
    }
    arrows: dict[str, set[str]] = {}
    for path in (ROOT / "ext").rglob("*.p[yx][xd]"):
        name = ".".join(path.relative_to(ROOT / "ext").with_suffix("").parts)
        found = re.findall(r"^from (ratelimit[\w.]*) cimport", path.read_text(), re.MULTILINE)
        arrows.setdefault(name, set()).update(other for other in found if other in sources and other != name)
    assert len(arrows) > 50
    assert circles(arrows) == []


ROOMS_OF_THE_CORE = (
    frozenset({"replay", "redis"}),
    frozenset({"sharing"}),
    frozenset({"clusters", "decision"}),
    frozenset({"algorithms"}),
    frozenset({"request"}),
    frozenset({"memory"}),
)
"""From the top down, as for the package."""


def test_arrows_between_rooms_of_the_core_point_down() -> None:
    place = {room: number for number, layer in enumerate(ROOMS_OF_THE_CORE) for room in layer}
    core = ROOT / "ext" / "ratelimit" / "core"
    for path in core.rglob("*.p[yx][xd]"):
        if path.parent == core:
            continue
        room = path.parent.name
        for other in re.findall(r"^from ratelimit\.core\.(\w+)\.", path.read_text(), re.MULTILINE):
            assert other == room or place[other] > place[room], f"{path}: {room} imports {other}"


def test_pure_parts_know_no_loop_no_clock_no_log() -> None:
    impure = [
        f"{path}:{line}: {imported}"
        for module, path in MODULES.items()
        if part_of(module) in PURE
        for imported, line in imports(path)
        if imported.split(".")[0] in IMPURE
    ]
    assert not impure


MAY_OPEN = "ratelimit.policy.document"
"""What writes the documentation's tables."""


def calls(path: Path) -> Iterator[tuple[str, int]]:
    """Yield what a file calls, as it is written, with its line."""
    for node in nodes_of(path):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node.lineno


def test_pure_parts_open_no_file_and_read_no_loops_clock() -> None:
    impure = [
        f"{path}:{line}: {called}"
        for module, path in MODULES.items()
        if part_of(module) in PURE and module != MAY_OPEN
        for called, line in calls(path)
        if called in {"open", "os.open"}
        or called.endswith((".read_text", ".read_bytes", ").open", "loop.time", "loop().time"))
    ]
    assert not impure


def test_outside_libraries_have_one_owner_each() -> None:
    strangers = [
        f"{path}:{line}: {imported} belongs to {owners}"
        for module, path in MODULES.items()
        for imported, line in imports(path)
        if (owners := OWNERS.get(imported.split(".")[0])) is not None
        and not module.removeprefix("ratelimit.").replace(".", "/").startswith(owners)
    ]
    assert not strangers


READ_BY_THE_CLOCK = {
    f"time.{name}{unit}"
    for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time", "clock_gettime")
    for unit in ("", "_ns")
} | {"time.gmtime", "time.localtime"}
"""Libraries that fake time for tests replace these names."""
PARSES = {"json.loads", "json.load", "msgspec.json.decode", "msgspec.json.Decoder"}


def test_each_format_has_one_reader() -> None:
    readers = [
        f"{path}:{node.lineno}: read it by ratelimit.parsing"
        for module, path in MODULES.items()
        if not module.startswith("ratelimit.parsing.")
        for node in nodes_of(path)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in PARSES
    ]
    assert not readers


def test_only_the_clock_reads_clocks() -> None:
    readers = []
    for module, path in MODULES.items():
        if module == "ratelimit.clock":
            continue
        readers += [
            f"{path}:{node.lineno}: {node.module}.{name.name}"
            for node in nodes_of(path)
            if isinstance(node, ast.ImportFrom)
            for name in node.names
            if f"{node.module}.{name.name}" in READ_BY_THE_CLOCK
        ]
        readers += [
            f"{path}:{line}: {called}"
            for called, line in calls(path)
            if called in READ_BY_THE_CLOCK
            or (called.endswith((".utcnow", ".now", ".today")) and called.startswith(("datetime", "date")))
        ]
    assert not readers


def test_modules_say_what_they_are() -> None:
    silent = [
        path for path in MODULES.values() if path.read_text().strip() and not ast.get_docstring(parsed(path))
    ]
    assert not silent


def test_only_asgi_sees_a_scope() -> None:
    for module, path in MODULES.items():
        if part_of(module) in {"asgi", "cli", "console", "demo", "integrations"}:
            continue
        names = {node.id for node in nodes_of(path) if isinstance(node, ast.Name)}
        names |= {node.arg for node in nodes_of(path) if isinstance(node, ast.arg)}
        assert "scope" not in names, path


def test_keys_of_features_are_read_before_any_other_part() -> None:
    """The schema of the file asks for them while it is imported, so they may not lead back to it."""
    for feature in FEATURES:
        path = MODULES.get(f"ratelimit.{feature}.schema")
        for imported, line in imports(path) if path else ():
            names = imported.split(".")
            is_above = names[0] == "ratelimit" and names[1] not in {*FEATURES, "features", "codes"}
            assert not is_above, f"{path}:{line}: imports {imported}"


NAMELESS = ("deciding", "runtime")
"""Rooms that know no feature: they go by the protocol (`Feature`, `Part`, `RuleSpec`, `FileSpec`)."""
READ_WITH_A_PLAN = ("ratelimit.usage.",)
"""What an answer costs is settled by the plan that charged its estimate."""
READ_WITH_A_ROW = {"ratelimit.lists.access"}
"""The extractor says of a row which list it is on."""
OF_A_DOOR = {"ratelimit.waiting.model.crowd", "ratelimit.waiting.model.fair_bound"}
"""Whose place it is that a request holds; without a word of why."""
WORDS_OF_FEATURES = frozenset(
    {
        "adaptive", "allowance", "challenge", "challenges", "conduct", "held", "loads", "queue", "queues",
        "ramp", "ramps", "shed", "strike", "strikes",
    }
)  # fmt: skip


def test_decider_and_runtime_name_no_feature() -> None:
    """Hazard: each further feature would change them again."""
    named = []
    for module, path in MODULES.items():
        if module.split(".")[1:2] not in [[room] for room in NAMELESS]:
            continue
        for imported, line in imports(path):
            names = imported.split(".")
            is_of_feature = len(names) > 1 and names[0] == "ratelimit" and names[1] in FEATURES
            may = imported.startswith(READ_WITH_A_PLAN) or imported in READ_WITH_A_ROW | OF_A_DOOR
            if is_of_feature and not may:
                named.append(f"{path}:{line}: imports {imported}")
        for node in nodes_of(path):
            name = getattr(node, "attr", None) or getattr(node, "id", None) or getattr(node, "arg", None)
            words = {name, *name.strip("_").split("_")} if isinstance(name, str) else set()
            if words & WORDS_OF_FEATURES:
                named.append(f"{path}:{node.lineno}: {name}")  # type: ignore[attr-defined]
    assert not named


def test_decider_is_read_in_few_steps() -> None:
    """Hazard: each further arrow or floor is one more file to know before a decision is understood."""
    decider = {module for module in MODULES if module.startswith("ratelimit.deciding.")}
    arrows = {module: targets(module) & decider for module in decider}

    def floor(module: str) -> int:
        return 1 + max(map(floor, arrows[module]), default=0)

    assert len(decider) <= 20
    assert sum(map(len, arrows.values())) <= 40
    assert max(map(floor, decider)) <= 6


INSPECTION = (
    ("failure", "formatting", "identities"),
    ("access",),
    ("acts",),
    ("journal",),
    ("requests",),
    ("hosts",),
    ("actors",),
    ("callers",),
    ("history", "proposals"),
)
"""The folders of `inspection`, from the bottom up: each may import those before it, and itself."""


def test_inspection_reads_downwards() -> None:
    """Hazard: a room of sixty modules in which each may import each other is read as one."""
    floors = {name: floor for floor, names in enumerate(INSPECTION) for name in names}
    upward, met = [], set()
    for module in MODULES:
        names = module.split(".")
        if names[:2] != ["ratelimit", "inspection"] or len(names) < 3:
            continue
        met.add(names[2])
        for target in targets(module):
            below = target.split(".")
            if below[:2] != names[:2] or len(below) < 3 or below[2] == names[2]:
                continue
            if floors[below[2]] >= floors[names[2]] > 0:
                upward.append(f"{module} imports {target}")
    assert not upward
    assert met == set(floors)


READERS = {
    "schema": {"codes", "features", "policy"},
    "compile": {"policy"},
    "metrics": {"telemetry"},
    "stage": {"runtime"},
    "explanation": {"inspection"},
}
"""Which rooms read the features' parts of a name: as far down as the parts are."""


def test_each_floor_reads_its_own_parts_of_features() -> None:
    read: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        for node in nodes_of(path):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "parts":
                (asked,) = node.args
                assert isinstance(asked, ast.Constant)
                read.setdefault(asked.value, set()).add(module.split(".")[1])
    assert read == READERS
