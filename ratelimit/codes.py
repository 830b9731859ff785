"""Every code an error or warning of this library can carry: one table.

Pure data, importable from anywhere. A code is stable: it may be searched for,
alerted on and linked to, so it is never renamed or used for something else.
`docs/errors.md` is generated from this table and a test keeps the two in step.

In one file, since it is one table, and a code is to be found by one search.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Branch = Literal["policy", "usage", "store"]
Severity = Literal["error", "warning"]


class Code(NamedTuple):
    """The meaning of a code, the side that can mend it, and the way to do so."""

    branch: Branch
    severity: Severity
    meaning: str
    remedy: str


def _error(meaning: str, remedy: str) -> Code:
    return Code("policy", "error", meaning, remedy)


def _warning(meaning: str, remedy: str) -> Code:
    return Code("policy", "warning", meaning, remedy)


def _usage(meaning: str, remedy: str) -> Code:
    return Code("usage", "error", meaning, remedy)


def _store(meaning: str, remedy: str) -> Code:
    return Code("store", "error", meaning, remedy)


CODES: dict[str, Code] = {
    # The file as a whole.
    "policy-invalid": _error(
        "The policy has errors and cannot be used.", "Mend each of the problems listed with it."
    ),
    "policy-unreadable": _error("The file cannot be read.", "Check the path and its permissions."),
    "policy-encoding": _error("The file is not UTF-8 text.", "Save it as UTF-8."),
    "policy-syntax": _error("The file is not valid TOML.", "Mend the line named."),
    "policy-size": _error("The file is larger than 1 MiB.", "Move long address lists to a firewall."),
    "policy-depth": _error("Tables or arrays are nested more than 16 deep.", "Flatten them."),
    "policy-too-many": _error(
        "There are more entries of a kind than a policy may have.", "Combine some, or drop those not needed."
    ),
    "policy-text-length": _error("A text is longer than its place allows.", "Shorten it."),
    "policy-text": _error(
        "A key or a text holds NUL, or half of a surrogate pair: no name, path or value has these.",
        "Take the character out.",
    ),
    "policy-fault": _error(
        "The policy leads to a fault of this program.", "Report it, with the message and the policy."
    ),
    "policy-version": _error(
        "The file is of a version of this format that is not known here.", "Write `version = 1`."
    ),
    "policy-unknown-key": _error("A key is not one of this format.", "Check its spelling and its table."),
    "policy-missing-key": _error("A key that must be there is not.", "Add it."),
    "policy-type": _error("A value is of the wrong type.", "Write the type named in the message."),
    "policy-value": _error("A value is out of range or not one of the choices.", "Use one that is allowed."),
    "policy-empty": _warning(
        "The policy has no limits.",
        "Add a `[[limit]]`. You can ignore this if all limits are in your code.",
    ),
    # Identities.
    "identity-name": _error(
        "An identity's name is malformed or reserved.", "Use lower-case letters, digits and `_`."
    ),
    "identity-source": _error(
        "A source is malformed or of an unknown kind.",
        "Write `client`, or `header:`, `cookie:`, `path:`, `state:` or `resolver:` and a name.",
    ),
    "identity-form": _error(
        "The word after `as` is not a form that a value of this source can have.",
        "Write `int`, `float`, `uuid`, `caseless` or `text`; for a header `credential`, too.",
    ),
    "identity-unknown": _error("An identity is used that is not declared.", "Declare it in `[identities]`."),
    "identity-missing": _error(
        '`missing = "client"` on an identity that is the client\'s address itself.',
        "Use `refuse`, `skip` or `shared`.",
    ),
    "correlation-principal": _error(
        "Evidence is named for the correlation, but no principal.", 'Write `principal = "account"` beside it.'
    ),
    "correlation-missing": _error(
        "An identity that serves as evidence has a stand-in where it is missing.",
        'Write `missing = "skip"` for the identity.',
    ),
    "correlation-costly": _error(
        "A family is listed as `costly`, and is not among the evidence.",
        "Name it under `extra` as well.",
    ),
    "correlation-created": _error(
        "`created` comes from the client, who can forge it, or has no source.",
        "Use `state:NAME`, a `header:NAME` that your proxy sets, or `resolver:NAME`.",
    ),
    "correlation-families": _warning(
        "Payment methods that meet at exits make a cluster certain, and one of the two is not named.",
        "Name `network`, and `payment` or a family that is `costly`.",
    ),
    "known-principal": _error(
        "A principal is written with more or fewer values than make one here.",
        "Write one value for each identity under `principal`, in that order.",
    ),
    "known-group": _error(
        "A list of accounts has fewer than two principals.", "Name two or more, or drop the list."
    ),
    "known-contradiction": _error(
        "Two things that the operator knows exclude each other.", "Keep one of the two."
    ),
    "known-organisation": _error(
        "An organisation has no payment method or network to recognise it by.",
        "Name payment methods or networks, and the identity that payment methods are.",
    ),
    "known-list": _error(
        "A list of networks cannot be used.",
        "Give the path of a text file with one range a line, beside the policy.",
    ),
    "identity-shared": _warning(
        "All requests without this identity share one counter, and one caller can use it up for all.",
        "Use `client`, so that each is counted by address.",
    ),
    "identity-setting-unused": _warning(
        "A setting has no effect with this kind of source.", "Remove it, or change `from`."
    ),
    "metrics-refused": _warning(
        "A limit covers `/metrics` and insists on an identity that a scrape does not have: 403.",
        'Write `except = "GET /metrics"` for the limit, or put the scraper\'s address on the allow list.',
    ),
    "identity-cache": _error("The settings of a resolver's cache are malformed.", "Mend the value named."),
    "identity-unused": _warning(
        "An identity is declared and used nowhere.",
        "Use it or remove it. You can ignore this if only limits in your code use it.",
    ),
    "path-parameter-unknown": _error(
        "A path identity's parameter is not in every template of a limit that uses it.",
        "Name the same `{parameter}` in each `match`.",
    ),
    "path-parameter-ambiguous": _error(
        "Two templates that match the same path put one parameter into different places.",
        "Give the parameters different names.",
    ),
    # Limits.
    "limit-name": _error(
        "A limit's name has other than printable ASCII characters, or ends like `#2`.", "Rename it."
    ),
    "limit-name-duplicate": _error("Two limits have the same name.", "Rename one."),
    "limit-no-rate": _error("A limit has no `rate` and no `concurrent`.", "Say how much it allows."),
    "limit-conflict": _error("Two settings of a limit exclude each other.", "Keep one of the two."),
    "limit-age": _error(
        "A limit binds new accounts, and the policy has no source for their age.",
        'Write `created = "state:NAME"` into `[correlation]`, or remove `age`.',
    ),
    "limit-per": _error("A limit's `per` names an identity twice, or the one it counts.", "Name each once."),
    "rate-syntax": _error(
        "A rate cannot be read.", "Write it like `100/minute`, `10 per 5 minutes` or `1/second; 100/hour`."
    ),
    "rate-zero": _error("A rate of zero, or a period of zero length.", "To refuse always, use `[deny]`."),
    "rate-period": _error("A period is longer than 366 days.", "Use a shorter one."),
    "rate-too-high": _error(
        "More units than this algorithm can count in this period.", "Lower it, or use another algorithm."
    ),
    "rate-repeated": _error("Two rates of one limit have the same period.", "Keep the smaller one."),
    "limit-burst": _error(
        "`burst` where it has no meaning: with another algorithm or with several rates.",
        "Remove it, or write each rate as a limit of its own.",
    ),
    "limit-burst-too-high": _error("The burst, or the debt, is more than can be counted.", "Lower it."),
    "limit-cost-above-burst": _error(
        "One request costs more than the limit can ever hold, so all are refused.",
        "Raise `burst` (or the rate), or lower the cost.",
    ),
    "limit-cost-unit": _error(
        "`cost` belongs to the unit `requests`, `estimate` to every other.", "Use the other of the two."
    ),
    "limit-estimate": _error(
        "An estimate is not a number, and not one of the words for its source.",
        "Write a number, `declared`, `learned`, `header:NAME` or `state:NAME`.",
    ),
    "limit-prices": _error(
        "A limit is in dollars, and no model has a price.",
        'Write `[prices."MODEL"]`, or let `ratelimit prices import MODEL` write it.',
    ),
    "limit-usage-unit": _error(
        "`usage` is set, but answers do not report this unit.",
        "Use `output_tokens`, `total_tokens`, `input_tokens` or a part of it, or let the application settle.",
    ),
    "limit-cost-zero": _warning("Requests have no cost, so the limit never fills.", "Remove `cost`."),
    "limit-calendar": _error(
        "Calendar windows need a fixed window of one minute, hour, day, week, month or year.",
        'Write `algorithm = "fixed-window"` and a rate of a single such period.',
    ),
    "limit-zone": _error("The time zone is unknown here.", "Check its name; minimal systems need `tzdata`."),
    "limit-zone-unused": _warning("`zone` without `calendar = true` has no effect.", "Add or remove one."),
    "limit-lease": _error("The lease is malformed, or not between 1 second and 1 day.", "Mend it."),
    "limit-match": _error("A match pattern is malformed.", "Write it like `GET|POST /path/{parameter}/*`."),
    "limit-method-unknown": _warning(
        "A match pattern names a method that is no registered one of HTTP.",
        "Check its spelling; a request has to have this very method.",
    ),
    "limit-never-matches": _error("No request can ever match this limit.", "Mend `match`, `except` or `on`."),
    "limit-never-binds": _warning("This limit can never refuse a request.", "Remove it, or mend it."),
    "limit-enforce-unused": _warning(
        '`enforce` beside `mode = "shadow"` has no effect: no request is refused.',
        "Remove `mode` to enforce the limit for this share; or remove `enforce`.",
    ),
    "limit-duplicate": _warning("A limit repeats another one.", "Remove one."),
    "limit-shadowed": _warning("A stricter limit always refuses before this one.", "Remove the looser one."),
    "limit-too-many-rules": _error(
        "More than 16 rules apply to one request.", "Narrow the matches, or combine limits."
    ),
    "match-too-complex": _error(
        "The match patterns together overlap in too many ways.", "Use fewer wildcards in the middle of paths."
    ),
    "routing-root": _error(
        "A root path does not start with `/`, has no name in it, or is too long.", "Write it like `/api`."
    ),
    "tier-incomplete": _error("`tier` without `tiers`, or `tiers` without `tier`.", "Write both."),
    "tier-numbers": _error(
        "A tier has no settings, or numbers that its limit does not have.", "Set those the limit itself uses."
    ),
    # Lists, trust, store, secret.
    "address-syntax": _error("An address or range is malformed.", "Write it like `192.0.2.0/24`."),
    "address-host-bits": _warning(
        "A range has bits set outside its prefix; the whole range is meant.", "Write the network's address."
    ),
    "list-value": _error(
        "A value in a list is malformed: no request can have it.",
        "Write it as a client sends it, in the form that the identity's source has.",
    ),
    "list-contradiction": _warning(
        "An entry is both allowed and denied; it is allowed.", "Remove it from one of the lists."
    ),
    "list-everyone": _warning("A list covers every address there is.", "Narrow it."),
    "list-identity": _error("This identity cannot be listed.", "List the identities it is made from."),
    "trust-everyone": _error(
        "Every peer is trusted to name the client, so each client can choose an address.",
        "List the addresses of your own proxies.",
    ),
    "trust-wide": _warning(
        "A trusted range is very wide; every peer in it can choose the client's address.", "Narrow it."
    ),
    "trust-translation": _error(
        "A translation prefix does not conform to RFC 6052.",
        "Write the prefix your translator uses, like `2001:db8:64::/96`.",
    ),
    "trust-header-unused": _warning("`header` without `proxies` is never read.", "List your proxies."),
    "store-url": _error(
        "The store's URL cannot be used.",
        "Write `embedded`, `redis://host:port/db`, `unix:///path?db=0`, `redis+sentinel://hosts/MASTER/db`, "
        "`redis+cluster://hosts` (`rediss` for TLS) or `env:VARIABLE`.",
    ),
    "store-setting-remote": _error(
        "A setting that only a server has stands beside an embedded store.",
        "Remove it, or name a server in `url`.",
    ),
    "store-hash-key": _error(
        "Hosts that count on one server hash identities with different keys.",
        'Write `key = "env:RATELIMIT_HASH_KEY"` under `[hashing]`, '
        "and give every host the same 32 hexadecimal digits, as `openssl rand -hex 16` makes them.",
    ),
    "store-prefix": _error(
        "The prefix of key names is malformed.", "Use up to 32 letters, digits, `.`, `_`, `-` and `:`."
    ),
    "store-timeout": _error(
        "The time-out is malformed, or not between 1 ms and 5 s.", "Write it like `25ms`."
    ),
    "store-credentials": _error(
        "User name or password are malformed, incomplete or there twice.",
        "Write `username`, and `env:VARIABLE` or `file:PATH` as `password`.",
    ),
    "store-password-inline": _warning(
        "The server's password stands in the policy file itself.",
        "Use `env:VARIABLE` or `file:PATH` as `password`.",
    ),
    "store-tls": _error("The settings for TLS cannot be used.", "Mend the setting named."),
    "adaptive-bounds": _error(
        "`floor`, `start` and `ceiling` are not in this order.",
        "Write them so that each is at least the one before.",
    ),
    "adaptive-floor": _warning(
        "The floor may be above what the back end can do; it is never cut, so overload would not end.",
        "Take what the back end answers in time at its worst, or leave the default of 4.",
    ),
    "adaptive-target": _error(
        "The first byte's target is malformed, or not 10 ms to 10 minutes.", "Write it like `500ms`."
    ),
    "adaptive-reports": _error(
        "A page of the servers' metrics is no http:// or https:// address.",
        "Write it like `http://127.0.0.1:8000/metrics`.",
    ),
    "adaptive-group": _error(
        "One of several adaptive limits has no name or requests of its own.", "Give it a name and a `match`."
    ),
    "adaptive-class": _error(
        "A class of the adaptive limit has no name or requests of its own.", "Give it a name and a `match`."
    ),
    "limit-wait": _error("The wait is malformed, or not between 1 ms and 10 minutes.", "Mend it."),
    "queue-class": _error(
        "A class of requests that wait has no name or requests of its own.", "Give it a name and a `match`."
    ),
    "queue-unused": _warning(
        "There is a `[queue]`, and no limit lets requests wait.",
        'Write `wait = "1s"` in a limit, or remove it.',
    ),
    "store-setting-unused": _warning("A setting has no effect with private memory.", "Remove it."),
    "hashing-key": _error("The hash key is malformed.", "Write `env:NAME`, `file:PATH` or 32 hex digits."),
    "hashing-key-inline": _warning(
        "The hash key stands in the policy file itself.", "Use `env:VARIABLE` or `file:PATH`."
    ),
    # The caller.
    "rule-range": _usage(
        "A number is outside what an algorithm or a decision can hold.", "Load numbers through a policy."
    ),
    "cost-range": _usage("A cost is negative or above 2**31 - 1.", "Clamp costs before charging them."),
    "cost-type": _usage("A cost is not a whole number.", "Round it before charging it."),
    "unit-unknown": _usage("A cost is in a unit that no limit counts.", "Check its spelling in the policy."),
    "store-remote": _usage(
        "A decision was requested without `await`, and the policy's store is a server.",
        "Await `adecide` or `apeek` instead.",
    ),
    "reload-no-file": _usage(
        "A limiter that was made with a `Policy` cannot read it again.", "Give the limiter the file's path."
    ),
    "resolver-unknown": _usage(
        "A resolver that the policy names was not given and cannot be imported.",
        "Pass it in `resolvers`, or write `resolver:package.module:attribute`.",
    ),
    "resolver-not-callable": _usage("A resolver cannot be called.", "Give a function or coroutine function."),
    "middleware-policy": _usage(
        "The middleware needs either a policy or a limiter, not both.", "Give exactly one of them."
    ),
    "middleware-limiter": _usage(
        "The middleware was given a limiter and settings that belong to the limiter.",
        "Give `resolvers`, `store`, `clock` and `observer` to `Limiter(…)`.",
    ),
    "limit-unmounted": _usage(
        "A route uses a limit, and its request did not come through the middleware.",
        'Write `app.add_middleware(RateLimitMiddleware, policy="policy.toml")`.',
    ),
    "limit-unknown": _usage(
        "A route uses a limit by a name that the policy does not have.",
        "Declare it in the policy, with `match = []` where only routes are to ask for it.",
    ),
    "limit-declared": _usage(
        "A limit that a route declares in code cannot be had.", "Mend the arguments of `limit(…)`."
    ),
    "enabled-value": _usage(
        "`RATELIMIT_ENABLED` is not a yes or a no.", "Write 1 or 0, or leave the variable out."
    ),
    "store-algorithm": _usage(
        "A limit has an algorithm that the store does not know.", "Use one that it knows, or another store."
    ),
    "plan-shape": _usage("A plan's rules, keys, members and costs do not fit together.", "Mend the call."),
    "plan-blocks": _usage(
        "The table has no room for another limit of this size.",
        "Raise `block_bytes` in `[store]` and restart.",
    ),
    "plan-seat": _usage("A plan holds slots for a process that has no seat.", "Call `Table.join` first."),
    "plan-identities": _usage("Fewer identities were given than the plan looks at.", "Give all of them."),
    "plan-costs": _usage("Fewer costs were given than the plan looks at.", "Give all of them."),
    # Shared memory.
    "table-foreign": _store(
        "The memory holds something that is not a limiter's table.", "Point `path` at a file of its own."
    ),
    "table-version": _store(
        "The table was made by an incompatible version.", "Restart all workers with one version."
    ),
    "table-size": _store(
        "The table is truncated or of another size.", "Restart all workers with the same `keys`."
    ),
    "table-boot": _store(
        "The table is left from before the host restarted.", "Remove the file; a fresh one is made."
    ),
    "table-key": _store("The table was made with another hash key.", "Restart all workers with one key."),
    "table-damaged": _store(
        "The shared memory is damaged.",
        "Start a worker, or wait for one that runs: it puts the file aside and makes a fresh one.",
    ),
    "acts-file": _store(
        "The file of the operator's acts, beside the shared memory, cannot be written.",
        "Make room there, and run the command as the user that the workers run as.",
    ),
    "table-folder": _store(
        "No private folder for the shared memory can be made.",
        "Give the store a `path` in a folder of its user's own.",
    ),
    "table-memory": _store(
        "The shared memory cannot be made or mapped.", "Free some, lower `keys`, or give another `path`."
    ),
    "hash-key": _store(
        "The hash key cannot be read from the place that the policy names.",
        "Set the variable or mend the file.",
    ),
    # A server.
    "redis-missing": _store(
        "The client library for Redis is not installed.", "Install `redis`, as in the message."
    ),
    "redis-url": _store(
        "The variable that should hold the server's URL is not set, or is empty.",
        "Set it to one like `redis://host:6379/0`.",
    ),
    "redis-password": _store(
        "The server's password cannot be read from the place that the policy names.",
        "Set the variable or mend the file.",
    ),
    "redis-away": _store(
        "The server cannot decide: it is gone, refuses, or the store was closed. The limits' stance decided.",
        "Look at the server; `ratelimit doctor POLICY` shows what is wrong. It is tried again by itself.",
    ),
    "redis-slow": _store(
        "The server did not answer within `store.timeout`. The limits' stance decided.",
        "Look at the server's load and its slow log, or raise `store.timeout`.",
    ),
    "redis-answer": _store(
        "The server's answer makes no sense, so it was not used for the decision.",
        "Check that the URL is a Redis' or Valkey's, and what lies on the way to it.",
    ),
    "redis-unreachable": _store(
        "The server does not answer, or answers with an error.",
        "Check that it runs and may be reached from here.",
    ),
    "hosts-key": _store(
        "Another host's data for the correlation was made with another hash key.",
        "Give all hosts the same `[hashing] key`.",
    ),
    "hosts-format": _store(
        "This release cannot read another host's data for the correlation.",
        "Run the same release on all hosts.",
    ),
    "redis-certificate": _store(
        "The files that `store.tls` names cannot be used.", "Check that they exist, and are PEM files."
    ),
    "counters-full": _store(
        "All counters are taken by limits' names.", "Restart the workers after renaming many limits."
    ),
    "shapes-full": _store(
        "Too many different lengths of sliding windows have been used.", "Restart all workers."
    ),
}
