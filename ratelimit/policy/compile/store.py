"""`[store]` with a server: what is wrong with it, and how it is reached.

Everything here is checked without asking the server or the environment;
`ratelimit doctor` asks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

from ratelimit.environment.location import Location, LocationError, parse_location
from ratelimit.environment.server import KeySpec, RemoteSpec, TlsSpec
from ratelimit.environment.spelling import did_you_mean
from ratelimit.policy.compile.secret import reference
from ratelimit.policy.schema.binder import other_value
from ratelimit.policy.schema.duration import parse_duration
from ratelimit.policy.schema.model import PolicyFile
from ratelimit.policy.schema.problem import Path, Report
from ratelimit.policy.schema.storing import MemoryKind, Store

EMBEDDED = "embedded"
LEAST_TIMEOUT_NS = 10**6
MOST_TIMEOUT_NS = 5 * 10**9
MOST_FILES = 2
REMOTE_KEYS = ("mode", "prefix", "timeout", "password", "ca", "certificate", "check_hostname")
"""Keys of `[store]` that mean nothing without a server."""

_PREFIX = re.compile(r"[A-Za-z0-9._:-]{1,32}")
_URL: Path = ("store", "url")


def compile_store(file: PolicyFile, tree: Mapping[str, Any], report: Report) -> RemoteSpec | None:
    """Return how the policy's server is reached, None for an embedded store or an unusable one."""
    store = file.store
    table = tree.get("store")
    given = table if isinstance(table, dict) else {}
    if store.path is not None and "/" not in store.path:
        kinds = get_args(MemoryKind)
        hint = (
            other_value(store.path, kinds) or did_you_mean(store.path, kinds) or "A path has a `/`: `./NAME`."
        )
        words = f"`{store.path[:64]}` is none of {', '.join(f'`{kind}`' for kind in kinds)}, and no path"
        report.add("policy-value", ("store", "memory"), words, hint)
    if store.history is not None and not store.history.strip():
        report.add(
            "policy-value", ("store", "history"), "the path is blank", "Name a file, or remove the line."
        )
    if store.history is not None and file.hashing.key is None:
        report.add(
            "store-history-key",
            ("store", "history"),
            "a history is bound to one hash key, and the policy has none",
        )
    if store.url == EMBEDDED:
        for key in REMOTE_KEYS:
            if key in given:
                report.add("store-setting-remote", ("store", key), f"an embedded store has no `{key}`")
        return None
    if file.hashing.key is None:
        report.add(
            "store-hash-key", _URL, "hosts that count together need one hash key, and the policy has no key"
        )
    return _remote(store, report)


def _remote(store: Store, report: Report) -> RemoteSpec | None:
    location = None
    if not store.url.startswith("env:"):
        location = _location(store.url, report)
    elif reference(store.url) is None:
        report.add("store-url", _URL, "the text after `env:` is not the name of a variable")
    _check_credentials(store, location, report)
    tls = _tls(store, location, report)
    if not _PREFIX.fullmatch(store.prefix):
        report.add("store-prefix", ("store", "prefix"), "the prefix has other characters than it may")
    timeout_ns = _timeout(store.timeout, report)
    if report.has_errors:
        return None
    spec = RemoteSpec(
        store.url if location is None else location.url,
        topology=None,
        nodes=(),
        master=None,
        database=0,
        path=None,
        tls=tls,
        username=None,
        password=_password(store.password),
        prefix=store.prefix,
        mode=store.mode,
        timeout_ns=timeout_ns,
    )
    return spec if location is None else spec.at(location)


def _location(url: str, report: Report) -> Location | None:
    try:
        return parse_location(url)
    except LocationError as error:
        report.add("store-url", _URL, str(error), error.hint or None)
        return None


def _password(text: str | None) -> KeySpec | None:
    return None if text is None else reference(text) or KeySpec("inline", text)


def _check_credentials(store: Store, location: Location | None, report: Report) -> None:
    path: Path = ("store", "password")
    password = store.password
    if password is not None and reference(password) is None:
        # What was written may be a secret and is not repeated.
        if password.startswith(("env:", "file:")) or not password:
            report.add("store-credentials", path, "the password is not `env:VARIABLE` or `file:PATH`")
        else:
            report.add("store-password-inline", path, "a reader of this file can log in to the server")
    if location is None:
        return
    if location.password is not None and password is not None:
        report.add("store-credentials", path, "the URL has a password, too", "Keep this one.")
    elif location.password is not None:
        report.add("store-password-inline", _URL, "a reader of this file can log in to the server")
    if location.username and password is None and location.password is None:
        report.add("store-credentials", _URL, "a user name without a password cannot log in")


def _tls(store: Store, location: Location | None, report: Report) -> TlsSpec | None:
    """Return the settings of TLS; None without any."""
    files = [("ca", store.ca), *(("certificate", name) for name in store.certificates)]
    given = [key for key, value in files if value is not None]
    given += [] if store.check_hostname else ["check_hostname"]
    for key, value in files:
        if value is not None and not value.strip():
            report.add("store-tls", ("store", key), "the path is blank")
    if len(store.certificates) > MOST_FILES or store.certificate == []:
        words = f"{len(store.certificates)} files; a certificate and its key are one or two"
        report.add("store-tls", ("store", "certificate"), words)
    if not given:
        return None
    if location is not None and not location.is_encrypted:
        scheme, _, _ = location.url.partition("://")
        hint = "Remove it." if scheme == "unix" else f"Write `{scheme.replace('redis', 'rediss')}://`."
        report.add("store-tls", ("store", given[0]), f"`{scheme}://` does not use TLS", hint)
    certificate, private_key = [*store.certificates, None, None][:MOST_FILES]
    return TlsSpec(store.ca, certificate, private_key, store.check_hostname)


def _timeout(written: str | int, report: Report) -> int:
    try:
        timeout_ns = parse_duration(written)
    except ValueError as error:
        report.add("store-timeout", ("store", "timeout"), str(error))
        return LEAST_TIMEOUT_NS
    if not LEAST_TIMEOUT_NS <= timeout_ns <= MOST_TIMEOUT_NS:
        shown = f"{written} seconds" if isinstance(written, int) else written
        report.add("store-timeout", ("store", "timeout"), f"`{shown}` is not between 1 ms and 5 s")
    return timeout_ns
