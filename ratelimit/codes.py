"""Every code an error or warning of this library can carry; those of features stand in their `schema`.

Pure data, importable from anywhere. A code is stable: it may be searched for,
alerted on and linked to, so it is never renamed or used for something else.
`docs/errors.md` is generated from this table and a test keeps the two in step.

In one file, since it is one table. `every_code` has all.
"""

from __future__ import annotations

from functools import cache
from typing import Literal, NamedTuple

from ratelimit.facts import sources
from ratelimit.features.parts import parts

Branch = Literal["policy", "usage", "store"]
Severity = Literal["error", "warning"]


class Code(NamedTuple):
    """The meaning of a code, the side that can mend it, and the way to do so."""

    branch: Branch
    severity: Severity
    meaning: str
    remedy: str


def error(meaning: str, remedy: str) -> Code:
    """Return a code of a policy that cannot be used."""
    return Code("policy", "error", meaning, remedy)


def warning(meaning: str, remedy: str) -> Code:
    """Return a code of what is usable, and likely a mistake."""
    return Code("policy", "warning", meaning, remedy)


def _usage(meaning: str, remedy: str) -> Code:
    return Code("usage", "error", meaning, remedy)


def _store(meaning: str, remedy: str) -> Code:
    return Code("store", "error", meaning, remedy)


CODES: dict[str, Code] = {
    # The file as a whole.
    "policy-invalid": error(
        "The policy has errors and cannot be used.", "Mend each of the problems listed with it."
    ),
    "policy-unreadable": error("The file cannot be read.", "Check the path and its permissions."),
    "policy-encoding": error("The file is not UTF-8 text.", "Save it as UTF-8."),
    "policy-syntax": error("The file is not valid TOML.", "Mend the line named."),
    "policy-size": error("The file is larger than 1 MiB.", "Move long address lists to a firewall."),
    "policy-depth": error("Tables or arrays are nested more than 16 deep.", "Flatten them."),
    "policy-too-many": error(
        "There are more entries of a kind than a policy may have.", "Combine some, or drop those not needed."
    ),
    "policy-text-length": error("A text is longer than its place allows.", "Shorten it."),
    "policy-text": error(
        "A key or a text holds NUL, or half of a surrogate pair: no name, path or value has these.",
        "Take the character out.",
    ),
    "policy-fault": error(
        "The policy leads to a fault of this program.", "Report it, with the message and the policy."
    ),
    "policy-version": error(
        "The file is of a version of this format that is not known here.", "Write `version = 1`."
    ),
    "policy-unknown-key": error("A key is not one of this format.", "Check its spelling and its table."),
    "policy-missing-key": error("A key that must be there is not.", "Add it."),
    "policy-type": error("A value is of the wrong type.", "Write the type named in the message."),
    "policy-value": error("A value is out of range or not one of the choices.", "Use one that is allowed."),
    "policy-empty": warning(
        "The policy has no limits.",
        "Add a `[[limit]]`. You can ignore this if all limits are in your code.",
    ),
    # Identities.
    "identity-name": error(
        "An identity's name is malformed or reserved.", "Use lower-case letters, digits and `_`."
    ),
    "identity-source": error(
        "A source is malformed or of an unknown kind.",
        sources.hint_words(),
    ),
    "identity-form": error(
        "The word after `as` is not a form that a value of this source can have.",
        "Write `int`, `float`, `uuid`, `caseless` or `text`; for a header `credential`, too.",
    ),
    "identity-unknown": error("An identity is used that is not declared.", "Declare it in `[identities]`."),
    "identity-missing": error(
        '`missing = "client"` on an identity that is the client\'s address itself.',
        "Use `refuse`, `skip` or `shared`.",
    ),
    "correlation-principal": error(
        "Evidence is named for the correlation, but no account.", 'Write `principal = "account"` beside it.'
    ),
    "correlation-missing": error(
        "An identity that serves as evidence has a stand-in where it is missing.",
        'Write `missing = "skip"` for the identity.',
    ),
    "correlation-created": error(
        "`created` comes from the client, who can forge it, or has no source.",
        sources.number_hint(),
    ),
    "correlation-families": warning(
        "Payment methods that meet at exits make an actor certain, and one of the two is not named.",
        "Name `network`, and `payment` or a family that is `costly`.",
    ),
    "known-principal": error(
        "An account is written with more or fewer values than make one here.",
        "Write one value for each identity under `principal`, in that order.",
    ),
    "known-group": error("A list has fewer than two accounts.", "Name two or more, or drop the list."),
    "known-contradiction": error(
        "Two things that the operator knows exclude each other.", "Keep one of the two."
    ),
    "known-organisation": error(
        "An organisation has no payment method or network to recognise it by.",
        "Name payment methods or networks, and the identity that payment methods are.",
    ),
    "tuning-file": error("The file of `tuning` cannot be read.", "Mend it, or the path."),
    "known-list": error(
        "A list of networks cannot be used.",
        "Give the path of a text file with one range a line, beside the policy.",
    ),
    "identity-shared": warning(
        "All requests without this identity share one counter, and one caller can use it up for all.",
        "Use `client`, so that each is counted by address.",
    ),
    "identity-setting-unused": warning(
        "A setting has no effect with this kind of source.", "Remove it, or change `from`."
    ),
    "metrics-refused": warning(
        "A limit covers `/metrics` and insists on an identity that a scrape does not have: 403.",
        'Write `except = "GET /metrics"` for the limit, or put the scraper\'s address on the allow list.',
    ),
    "identity-cache": error("The settings of a resolver's cache are malformed.", "Mend the value named."),
    "identity-unused": warning(
        "An identity is declared and used nowhere.",
        "Use it or remove it. You can ignore this if only limits in your code use it.",
    ),
    "path-parameter-unknown": error(
        "A path identity's parameter is not in every template of a limit that uses it.",
        "Name the same `{parameter}` in each `match`.",
    ),
    "path-parameter-ambiguous": error(
        "Two templates that match the same path put one parameter into different places.",
        "Give the parameters different names.",
    ),
    # Limits.
    "limit-name": error(
        "A limit's name has other than printable ASCII characters, or ends like `#2`.", "Rename it."
    ),
    "limit-name-duplicate": error("Two limits have the same name.", "Rename one."),
    "limit-no-rate": error("A limit has no `rate` and no `concurrent`.", "Say how much it allows."),
    "limit-conflict": error("Two settings of a limit exclude each other.", "Keep one of the two."),
    "limit-per": error("A limit's `per` names an identity twice, or the one it counts.", "Name each once."),
    "rate-syntax": error(
        "A rate cannot be read.", "Write it like `100/minute`, `10 per 5 minutes` or `1/second; 100/hour`."
    ),
    "rate-zero": error("A rate of zero, or a period of zero length.", "To refuse always, use `[deny]`."),
    "rate-period": error("A period is longer than 366 days.", "Use a shorter one."),
    "rate-too-high": error(
        "More units than this algorithm can count in this period.", "Lower it, or use another algorithm."
    ),
    "rate-repeated": error("Two rates of one limit have the same period.", "Keep the smaller one."),
    "limit-burst": error(
        "`burst` where it has no meaning: with another algorithm or with several rates.",
        "Remove it, or write each rate as a limit of its own.",
    ),
    "limit-burst-too-high": error("The burst, or the debt, is more than can be counted.", "Lower it."),
    "limit-cost-above-burst": error(
        "One request costs more than the limit can ever hold, so all are refused.",
        "Raise `burst` (or the rate), or lower the cost.",
    ),
    "limit-cost-unit": error("The cost of requests is no number.", "Write a number, or name another `unit`."),
    "limit-estimate": error(
        "An estimate is not a number, and not one of the words for its source.",
        "Write a number, `declared`, `learned`, `header:NAME` or `state:NAME`.",
    ),
    "limit-prices": error(
        "A limit is in dollars, and no model has a price.",
        'Write `[prices."MODEL"]`, or let `ratelimit make prices import MODEL` write it.',
    ),
    "price-long": error(
        "Prices for long inputs are not in order.",
        "Put the smallest `above` first, each once.",
    ),
    "price-refuse": error(
        "A model is refused by its own name.", 'Write `"*" = "refuse"`: models without a price are refused.'
    ),
    "price-pattern": error(
        "A model may be of two names with `*`, and neither is longer.",
        "Write the model's whole name, or a longer pattern.",
    ),
    "price-tier": error(
        "The name of a service tier is empty, too long, there twice, or the usual tier.",
        "Write names as answers have them in `service_tier`, such as `priority`.",
    ),
    "limit-usage-unit": error(
        "`usage` is set, but answers do not report this unit.",
        "Use `output_tokens`, `total_tokens`, `input_tokens` or a part of it, or let the application settle.",
    ),
    "limit-unit": warning(
        "A unit of your own is called almost like a built-in one.",
        "Write the built-in one. A unit of your own without `settle` or `cost` never refuses.",
    ),
    "limit-usage": error(
        "`usage` names no form of answers.",
        "Use a form that is built in, or write a table `[usage.NAME]`.",
    ),
    "usage-table": error(
        "A table of `usage` cannot be read as places of numbers.",
        "Write a unit of tokens or `cost`, and the path of its number in an answer.",
    ),
    "limit-cost-zero": warning("Requests have no cost, so the limit never fills.", "Remove `cost`."),
    "limit-algorithm": error("There is no algorithm of this name.", "Write one that the message names."),
    "limit-calendar": error(
        "Calendar windows are of one minute, hour, day, week, month or year.",
        "Write a rate of a single such period, as `1000/month`.",
    ),
    "limit-zone": error("The time zone is unknown here.", "Check its name; minimal systems need `tzdata`."),
    "limit-match": error("A match pattern is malformed.", "Write it like `GET|POST /path/{parameter}/*`."),
    "limit-method-unknown": warning(
        "A match pattern names a method that is no registered one of HTTP.",
        "Check its spelling; a request has to have this very method.",
    ),
    "limit-never-matches": error("No request can ever match this limit.", "Mend `match` or `except`."),
    "limit-young": warning(
        "A limit per actor leaves young actors alone, and on some of its routes no limit binds them.",
        "Give the limit per `cluster:young` the same `match`.",
    ),
    "limit-never-binds": warning("This limit can never refuse a request.", "Remove it, or mend it."),
    "limit-duplicate": warning("A limit repeats another one.", "Remove one."),
    "limit-shadowed": warning("A stricter limit always refuses before this one.", "Remove the looser one."),
    "limit-too-many-rules": error(
        "More than 16 rules apply to one request.", "Narrow the matches, or combine limits."
    ),
    "match-too-complex": error(
        "The match patterns together overlap in too many ways.", "Use fewer wildcards in the middle of paths."
    ),
    "routing-root": error(
        "A root path does not start with `/`, has no name in it, or is too long.", "Write it like `/api`."
    ),
    "tier-incomplete": error(
        "A limit has plans of several identities, or of none.",
        "Write `tiers.IDENTITY.PLAN`, for one identity.",
    ),
    "tier-numbers": error(
        "A tier has no settings, or numbers that its limit does not have.", "Set those the limit itself uses."
    ),
    # Lists, trust, store, secret.
    "address-syntax": error("An address or range is malformed.", "Write it like `192.0.2.0/24`."),
    "address-host-bits": warning(
        "A range has bits set outside its prefix; the whole range is meant.", "Write the network's address."
    ),
    "list-value": error(
        "A value in a list is malformed: no request can have it.",
        "Write it as a client sends it, in the form that the identity's source has.",
    ),
    "list-contradiction": warning(
        "An entry is both allowed and denied; it is allowed.", "Remove it from one of the lists."
    ),
    "list-everyone": warning("A list covers every address there is.", "Narrow it."),
    "list-identity": error("This identity cannot be listed.", "List the identities it is made from."),
    "trust-everyone": error(
        "Every peer is trusted to name the client, so each client can choose an address.",
        "List the addresses of your own proxies.",
    ),
    "trust-wide": warning(
        "A trusted range is very wide; every peer in it can choose the client's address.", "Narrow it."
    ),
    "trust-translation": error(
        "A translation prefix does not conform to RFC 6052.",
        "Write the prefix your translator uses, like `2001:db8:64::/96`.",
    ),
    "trust-header-unused": warning(
        "`proxies` has the word `forwarded` and no proxy, so no header is read.", "List your proxies."
    ),
    "store-url": error(
        "The store's URL cannot be used.",
        "Write `embedded`, `redis://host:port/db`, `unix:///path?db=0`, `redis+sentinel://hosts/MASTER/db`, "
        "`redis+cluster://hosts` (`rediss` for TLS) or `env:VARIABLE`.",
    ),
    "store-setting-remote": error(
        "A setting that only a server has stands beside an embedded store.",
        "Remove it, or name a server in `url`.",
    ),
    "store-hash-key": error(
        "Hosts that count on one server hash identities with different keys.",
        'Write `key = "env:RATELIMIT_HASH_KEY"` under `[hashing]`, '
        "and give every host the same 32 hexadecimal digits, as `openssl rand -hex 16` makes them.",
    ),
    "store-history-key": error(
        "Records of payers are kept in a file, and the hash key is made anew with each boot.",
        'Write `key = "env:RATELIMIT_HASH_KEY"` under `[hashing]`: 32 hexadecimal digits, '
        "as `openssl rand -hex 16` makes them.",
    ),
    "store-prefix": error(
        "The prefix of key names is malformed.", "Use up to 32 letters, digits, `.`, `_`, `-` and `:`."
    ),
    "store-timeout": error(
        "The time-out is malformed, or not between 1 ms and 5 s.", "Write it like `25ms`."
    ),
    "store-credentials": error(
        "User name or password are malformed, incomplete or there twice.",
        "Write `username`, and `env:VARIABLE` or `file:PATH` as `password`.",
    ),
    "store-password-inline": warning(
        "The server's password stands in the policy file itself.",
        "Use `env:VARIABLE` or `file:PATH` as `password`.",
    ),
    "store-tls": error("The settings for TLS cannot be used.", "Mend the setting named."),
    "hashing-key": error("The hash key is malformed.", "Write `env:NAME`, `file:PATH` or 32 hex digits."),
    "hashing-key-inline": warning(
        "The hash key stands in the policy file itself.", "Use `env:VARIABLE` or `file:PATH`."
    ),
    # The descriptors of `ratelimit serve --descriptors`.
    "descriptors-unreadable": error(
        "A file of descriptors cannot be read, or a folder has none.",
        "Name a YAML file of Envoy's rate-limit service, or a folder with such files.",
    ),
    "descriptors-syntax": error("A file of descriptors is not valid YAML.", "Mend the line named."),
    "descriptors-invalid": error(
        "The descriptors cannot be used: a key that there is not, an empty domain or key, one that is there "
        "twice, a unit that there is not, or a limit that replaces itself.",
        "Mend each place named.",
    ),
    "descriptors-ignored": warning(
        "A key of a descriptor has no meaning where it stands, or a file has a second document.",
        "Move it to where it has one: `shadow_mode` stands beside `rate_limit`, for example.",
    ),
    "descriptors-ambiguous": warning(
        "A value of one key leads a call to another key: both are compared with `_` between them.",
        "Rename one of the keys.",
    ),
    # The caller.
    "rule-range": _usage(
        "A number is outside what an algorithm or a decision can hold.", "Load numbers through a policy."
    ),
    "budget-call": _usage(
        "`Budgets` was asked for a limit, a number or an act that is not there.",
        "The message says which; `ratelimit show budget POLICY ACCOUNT` lists a customer's limits.",
    ),
    "cost-range": _usage("A cost is negative or above 2**31 - 1.", "Clamp costs before charging them."),
    "status-range": _usage(
        "A request ended with a number that is no HTTP status.", "Give a status from 100 to 599, or none."
    ),
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
        "Give the settings that the message names to `Limiter(…)`.",
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
    "state-unset": _usage(
        "A route's limit counts by a field of the state that nothing sets before the limit asks.",
        "Count by the dependency, `per=Depends(…)`, or set the state before the limit; with `missing` in the "
        "policy's identity such callers are counted otherwise.",
    ),
    "start-strict": _usage(
        "The policy has `strict = true`, and limits and routes do not fit each other.",
        "Mend what the message names, or remove `strict`.",
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
        "Raise `block_bytes` in the file of tuning and restart.",
    ),
    "console-access": _usage(
        "The console is given no way to tell who may look, or two; or a token that is too short.",
        "Give `user`, the application's own authentication, or else a `token` of 16 characters or more.",
    ),
    "plan-seat": _usage("A plan holds slots for a process that has no seat.", "Call `Table.join` first."),
    "plan-identities": _usage("Fewer identities were given than the plan looks at.", "Give all of them."),
    "plan-costs": _usage("Fewer costs were given than the plan looks at.", "Give all of them."),
    # Shared memory.
    "table-foreign": _store(
        "The memory holds something that is not a limiter's table.", "Name a file of its own as `memory`."
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
    "budget-once": _usage(
        "A call that is to be done once has the name of another call, or none.",
        "Name each call, such as by its invoice, and repeat it with the same name and content.",
    ),
    "budget-access": _usage(
        "`budgets_app` is given no token or a short one, or a call has none of them.",
        'Give `tokens={"billing": SECRET}`, of 16 characters, and send `Authorization: Bearer SECRET`.',
    ),
    "budget-deployment": _store(
        "The deployment whose budgets were asked for is out of reach from this host.",
        "Run it where a worker runs, or where the server answers; `ratelimit doctor` shows more.",
    ),
    "acts-file": _store(
        "The file of the operator's acts, beside the shared memory, cannot be written.",
        "Make room there, and run the command as the user that the workers run as.",
    ),
    "table-folder": _store(
        "No private folder for the shared memory can be made.",
        "Give the store a file as `memory` in a folder of its user's own.",
    ),
    "table-memory": _store(
        "The shared memory cannot be made or mapped.",
        "Free some, lower `keys`, or name another file as `memory`.",
    ),
    "hash-key": _store(
        "The hash key cannot be read from the place that the policy names.",
        "Set the variable or mend the file.",
    ),
    "history-unreadable": _store(
        "The file with the records of payers cannot be read.", "Check the path and its permissions."
    ),
    "history-version": _store(
        "The file is no history, or was written by another release.",
        "Write it anew with `ratelimit make history`, or remove it.",
    ),
    "history-key": _store(
        "The history was made with another hash key: none of its payers could be recognised.",
        "Write it with the policy and the hash key of this installation.",
    ),
    "history-damaged": _store(
        "The history was cut short or changed.",
        "Write it anew with `ratelimit make history`, or remove it: its payers begin as new ones then.",
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
        "The files of `ca` and `certificate` in `[store]` cannot be used.",
        "Check that they exist, and are PEM files.",
    ),
    "counters-full": _store(
        "All counters are taken by limits' names.", "Restart the workers after renaming many limits."
    ),
    "shapes-full": _store(
        "Too many different lengths of sliding windows have been used.", "Restart all workers."
    ),
}


@cache
def every_code() -> dict[str, Code]:
    """Return the whole table, with the codes of features behind the others."""
    found = dict(CODES)
    for part in parts("schema"):
        found |= getattr(part, "CODES", {})
    return found
