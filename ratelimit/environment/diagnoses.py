"""The sentences for mistakes that the library notices by itself, by code."""

from __future__ import annotations

from collections.abc import Mapping

from ratelimit.facts.numbers import FACTS

DIAGNOSES: Mapping[str, str] = {
    "undeclared-proxy": (
        "a request carried X-Forwarded-For or Forwarded from a peer that is not in `proxies`; the header "
        "was ignored and the peer's own address counted. If that peer is your proxy, declare it; if not, "
        "ignore this."
    ),
    "client-missing": (
        "a request had no client address (a Unix socket?), so limits per client followed their identity's "
        '`missing` rule. Declare the proxy with proxies = ["unix"] if it sends the address in a header.'
    ),
    "mounted-twice": (
        "RateLimitMiddleware is mounted twice for one policy; the inner one does not charge again. "
        "Mount it once."
    ),
    "private-memory": (
        "counters are in private memory while several workers seem to run: each worker admits the whole "
        'limit. Use [store] memory = "shared".'
    ),
    "limit-asked-twice": (
        "a route names a limit that the policy matches by path as well; it was charged once. "
        "Write `match = []` if only routes use it:"
    ),
    "limit-asked-gone": (
        "routes use limits by name that the reloaded policy lacks, or that do not fit it. These routes "
        "go on with the limits they had, until a restart."
    ),
    "state-absent": (
        "{about} was never present when it was read; such requests "
        "follow the identity's `missing` rule: callers behind one address share one budget, or with `skip` "
        "limits by it bind nobody. Dependencies and handlers run after the middleware: "
        "what they set comes too late for it. Set it in a middleware around this one, or apply the limit in "
        "a dependency, `Depends(limits(…))`, behind the dependency that sets it. If all requests so far "
        "were anonymous, ignore this."
    ),
    "policy-gone": (
        "{about} is not there any more, or cannot be looked at. The policy that was read last stays in "
        "force. A worker that starts now goes on by it only while another one of this host runs. Put the "
        "file back."
    ),
    "policy-last": (
        "the policy file cannot be used, so this worker started with the policy that other workers of this "
        "host go by. Without one of them it could not have started. Mend the file: {about}"
    ),
    "limits-off": "limits are off in this process, by RATELIMIT_ENABLED or `enabled`.",
    "memory-damaged": (
        "shared memory was cut short, overwritten or removed, and was left for fresh memory: what was "
        "counted in it begins anew. A file that is damaged is kept beside the fresh one as *.damaged, until "
        "the next takes its place. Find out what writes there."
    ),
    "memory-unusable": (
        "shared memory is damaged or gone, and cannot be replaced. This worker counts with what it has "
        "left, perhaps alone, and tries again every few seconds."
    ),
    "identity-type": (
        'a value from scope["state"], a path or a resolver was not text, bytes, an integer or a UUID, '
        "and counted as missing."
    ),
    **{fact.diagnosed_as: fact.diagnosis for fact in FACTS},
    "budget-type": (
        "the value that `budget` of a limit names was no number of its units (another period, words, NaN?); "
        "the limit's own `rate` held for that request."
    ),
    "budget-bounded": (
        "a customer's own number was below 1, or beyond `most` of its limit, and that bound held. If a "
        "larger number is right, change `most`:"
    ),
    "resolver-busy": (
        "too many calls of a resolver were under way at once; requests of the clients with most of them were "
        "refused with 503."
    ),
    "redis-evicts": (
        "the server throws keys away when its memory is full (maxmemory-policy is not noeviction): limits' "
        "state may go, and a refused caller begins anew. Set maxmemory-policy to noeviction, or give "
        "limits a server of their own."
    ),
    "redis-key": (
        "another worker that uses this server and prefix hashes identities with another key, and so grants "
        "every caller its limits once more. Give all hosts the same [hashing] key, or deployments of their "
        "own different store prefixes; `ratelimit doctor` shows whether it is mended."
    ),
    "correlator-failed": (
        "correlating accounts failed; requests go on with the actors known so far, and it is tried again."
    ),
    "hosts-format": (
        "another host's data for the correlation cannot be read here, and is not used. Do all hosts run the "
        "same release, and does another program write under the store's prefix?"
    ),
    "hosts-key": (
        "another host correlates with another hash key; its data cannot be used here. "
        "Give all hosts the same [hashing] key, or deployments of their own different store prefixes."
    ),
    "hosts-unreachable": (
        "the server that hosts share fails or is not reached for correlation: actors stay as they are. "
        "`ratelimit doctor` shows whether it answers; a user with restricted keys needs those that "
        "begin with the prefix in braces."
    ),
    "snapshot-damaged": (
        "the snapshot of the correlation is cut short or was changed, and is not used: evidence is "
        "gathered anew. A file is set aside as *.refused."
    ),
    "snapshot-future": (
        "the snapshot of the correlation is from more than a day in the future, and is not used: was the "
        "clock set back? A file is set aside as *.refused."
    ),
    "snapshot-key": (
        "the snapshot of the correlation was made with another hash key, and is not used: its identities "
        "are unknown here. Set [hashing] key if it is to outlive the shared memory. "
        "A file is set aside as *.refused."
    ),
    "snapshot-unreadable": (
        "the snapshot of the correlation cannot be read; check its permissions. Evidence is gathered anew."
    ),
    "clusters-full": (
        "more groups of accounts look like one actor than can be named. Those that cost least have no "
        "verdict. `ratelimit show actors` lists the others. Raise `clusters` in the file of `tuning`."
    ),
    "snapshot-unwritten": (
        "the snapshot of the correlation cannot be written, and is tried again; until then a restart would "
        "lose the actors. Where hosts share a server it goes there, else check the folder and its room."
    ),
    "snapshot-version": (
        "the snapshot of the correlation was made by another release, and is not used: evidence is "
        "gathered anew. A file is set aside as *.refused."
    ),
    "records-refused": (
        "the records of payers that were kept are not used: {about}. Payers are known by the memory of this "
        "host and by `history` of [store]. The file is set aside as *.refused."
    ),
    "records-unwritten": (
        "the records of payers cannot be kept; check the folder, its permissions and its room. "
        "A reboot would lose what payers have earned. {about}"
    ),
    "route-crowded": (
        "a path can be read in several ways, which together fall under more rules than one decision carries "
        "(16); such requests are refused. Narrow the matches, combine limits, or describe by `spellings` how "
        "the application reads paths."
    ),
    "route-unseen": (
        "the application serves routes that a limit seems to mean and matches in no way of reading their "
        "paths. Write templates with the prefix of the mount; cover a regular expression by a template "
        "that ends in `*`. They are:"
    ),
    "route-case": (
        'the application ignores case in paths, and `spellings` of the policy has "exact-case": a path in '
        'other letters is served and not limited. Write "case" in its place.'
    ),
    "route-unasked": (
        "a route has its handler without the limit that decorates it, and is not limited: `@limit` stands "
        "above the route's own decorator. Write it below. They are:"
    ),
    "limit-unbound": (
        "the application has no route that these limits bind, so they refuse nothing. Correct their `match`. "
        "If code before the routes answers there, ignore this. They are: {about}"
    ),
    "limit-unasked": (
        "limits with `match = []` bind what routes ask for, and no route does. Write "
        "`Depends(limits(…))`, or a `match`. They are: {about}"
    ),
    "state-outside": (
        "the middleware runs before all code of the application that could set what these limits count by, "
        "so all callers behind one address share a budget. Add the middleware that sets it last, or ask for "
        "the limit in the route, `per=Depends(…)`. They are: {about}"
    ),
    "settle-unit": ("the application settled a unit that no limit of the policy counts; it was not charged."),
    "settle-number": (
        "the application settled a value other than a whole number from 0 "
        "to 2147483647; it was not charged, and the "
        "estimate stays. Round up before you settle."
    ),
    "wait-unawaited": (
        "a limit with `wait` refused at once, as `decide` cannot wait: it has no event "
        "loop. Await `adecide` instead."
    ),
    "challenge-missing": (
        "a limit that challenges refused, as it has no hook. Pass `challenge=…` to "
        "the middleware, the interceptor or Limiter; a pass counts for `ratelimit serve` as well."
    ),
    "challenge-failed": "the application's `challenge` raised, and the request was refused {about}.",
    "challenge-unawaited": (
        "the application's `challenge` has to be awaited, which `Limiter.decide` and WSGI cannot; the "
        "request was refused. Give a plain function, or await `adecide`."
    ),
    "memory-full": (
        "{about}, where shared memory lies, is full. Limits go on. Acts and events cannot be written "
        "there, and memory that gets lost cannot be made again. Free some of it, or enlarge it (in a "
        "container: --shm-size)."
    ),
    "limit-exempt": (
        "a handler has `@exempt` and a limit of its own. `@exempt` frees it from limits of its router or "
        "application, and of every `Depends`; a limit that decorates it holds. Remove one of "
        "the two. It is:"
    ),
    "done-uncharged": (
        "a proxy reported the cost at a stream's end, and no limit was charged. Its descriptors lack the "
        "path or an identity that limits need: send what the request's own call has. Unit:"
    ),
    "serve-operator": (
        "a call of Envoy was answered with INVALID_ARGUMENT, since Envoy's configuration is wrong; it then "
        "passes the request on or refuses it, by its failure_mode_deny. Each one counts. Mistake: {about}"
    ),
    "serve-contradictory": (
        "a proxy named a request's method, target or address twice; the request was refused, since it can be "
        "matched in more than one way. Each one counts."
    ),
    "serve-unnamed": (
        "a check over HTTP came without the two fields in which the proxy names the request, and was refused "
        "with 500. Is the proxy the one that `--for` names, and does its configuration set both? Each one "
        "counts. The fields: {about}"
    ),
    "serve-other-pair": (
        "a check over HTTP had fields in which another kind of proxy names its requests. They are a client's "
        "own and were ignored: only those of the proxy that `--for` names are believed. Each one counts. "
        "The fields: {about}"
    ),
    "serve-late": (
        "Envoy no longer waited for the answer to a call: its timeout had passed, or the client hung up. "
        "After a timeout Envoy follows failure_mode_deny. Each one counts. Give `ratelimit serve` "
        "more workers or cores, or raise the timeout."
    ),
    "serve-full": (
        "a call of Envoy was answered with RESOURCE_EXHAUSTED, since 1,000 others were waiting; Envoy "
        "follows failure_mode_deny. Each one counts. Give `ratelimit serve` more workers or cores."
    ),
    "serve-fault": (
        "a call of Envoy led to a fault of this program and was answered with INTERNAL; Envoy follows "
        "failure_mode_deny. Each one counts. Report it; the log has the traceback at level DEBUG. The "
        "fault: {about}"
    ),
}
"""The sentence of each code, logged once in each process; in the order of the columns that count them."""
SUBJECTS: Mapping[str, str] = {
    "state-absent": "`state:NAME`",
    "policy-gone": "the policy file",
    "memory-full": "The place",
    "serve-operator": "it is named.",
    "serve-unnamed": "they are named.",
    "serve-other-pair": "they are named.",
    "serve-fault": "its type.",
    "policy-last": "its errors follow",
    "challenge-failed": "(the error's type)",
    "records-refused": "the reason is named",
}
"""The words for `{about}` of a sentence in the reference; none where the sentence ends with it."""


def sentence(code: str, about: str = "") -> str:
    """Return what is said of a mistake; `about` says where, in the sentence or at its end."""
    words = DIAGNOSES.get(code, code)
    return words.replace("{about}", about) if "{about}" in words else f"{words} {about}".rstrip()
