"""The build of the compiled modules, read from the modules themselves."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="modules are ELF on Linux alone")

PACKAGE = Path(__file__).absolute().parents[2] / "ratelimit"
MODULES = sorted(PACKAGE.rglob("*.so"))
LOADS, DYNAMIC, STACK, RELRO = 1, 2, 0x6474E551, 0x6474E552
NEEDED, STRTAB, SYMTAB, STRSZ, FLAGS, FLAGS_1 = 1, 5, 6, 10, 30, 0x6FFFFFFB
BIND_NOW, NOW = 8, 1
EXECUTABLE, WRITABLE = 1, 2


class Binary:
    """The parts of a 64-bit, little-endian ELF file that are asked about."""

    def __init__(self, path: Path) -> None:
        self.content = path.read_bytes()
        assert self.content[:6] == b"\x7fELF\x02\x01", path
        start, size, count = (
            *struct.unpack_from("<Q", self.content, 32),
            *struct.unpack_from("<HH", self.content, 54),
        )
        # Type, flags, offset, address, _, size in the file.
        self.segments = [
            struct.unpack_from("<IIQQQQ", self.content, start + size * at) for at in range(count)
        ]

    def flags_of(self, kind: int) -> list[int]:
        """Return the flags of each segment of a kind."""
        return [flags for found, flags, *_ in self.segments if found == kind]

    def dynamic(self) -> dict[int, int]:
        """Return the dynamic section's values by tag, the last of each."""
        _, _, offset, _, _, size = next(each for each in self.segments if each[0] == DYNAMIC)
        return dict(struct.unpack_from("<QQ", self.content, at) for at in range(offset, offset + size, 16))

    def strings(self) -> Iterator[bytes]:
        """Yield the names that the dynamic linker reads: symbols, libraries."""
        found = self.dynamic()
        at = self.place_of(found[STRTAB])
        yield from self.content[at : at + found[STRSZ]].split(b"\0")

    def place_of(self, address: int) -> int:
        """Return where in the file lies what is loaded at an address."""
        for kind, _, offset, start, _, size in self.segments:
            if kind == LOADS and start <= address < start + size:
                return int(offset + address - start)
        raise AssertionError(hex(address))


each_module = pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name.partition(".")[0])


def test_there_are_modules_to_look_at() -> None:
    assert len(MODULES) > 25


@each_module
def test_functions_of_others_are_bound_at_once_and_then_read_only(path: Path) -> None:
    binary = Binary(path)
    found = binary.dynamic()
    assert found.get(FLAGS, 0) & BIND_NOW or found.get(FLAGS_1, 0) & NOW
    assert len(binary.flags_of(RELRO)) == 1


@each_module
def test_no_memory_can_be_both_written_and_run(path: Path) -> None:
    binary = Binary(path)
    assert binary.flags_of(STACK) != []
    for flags in binary.flags_of(STACK):
        assert not flags & EXECUTABLE
    for flags in binary.flags_of(LOADS):
        assert not (flags & EXECUTABLE and flags & WRITABLE)


@each_module
def test_return_addresses_are_guarded(path: Path) -> None:
    assert b"__stack_chk_fail" in set(Binary(path).strings())


def test_copies_of_known_size_are_checked() -> None:
    checked = {name for path in MODULES for name in Binary(path).strings() if name.endswith(b"_chk")}
    assert checked & {b"__memcpy_chk", b"__memset_chk", b"__snprintf_chk", b"__sprintf_chk", b"__memmove_chk"}


def test_what_the_correlator_calls_asks_for_the_lock_when_it_comes_back() -> None:
    # A `with nogil` in a module without `handover.h` would wait for it as long as a busy loop likes.
    let_go, ask = set(), set()
    for path in MODULES:
        if path.parent.name in {"clusters", "sharing", "threads"}:
            names, name = set(Binary(path).strings()), path.name.partition(".")[0]
            if b"PyEval_SaveThread" in names:
                let_go.add(name)
            if b"Py_AddPendingCall" in names:
                ask.add(name)
    assert let_go == ask
    assert {"homes", "groups", "cluster_index", "ring", "event"} <= ask
