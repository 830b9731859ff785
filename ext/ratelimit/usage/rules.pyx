"""The rules of one plan with costs that are found for each request: see the stub for the contract.

In one file, since what a request takes and what it is settled to go by the same arrays.
"""

cimport cython
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from ratelimit.core.algorithms.setup cimport ABSENT_HASH, ALLOWED, MOST_RULES, SKIPPED
from ratelimit.usage.grants cimport Places
from ratelimit.usage.learned cimport UNSAID, Learned
from ratelimit.usage.prices cimport Price, PriceList, Used, is_nothing, of_tokens, without
from ratelimit.usage.reader cimport Reader, Receipt
from ratelimit.usage.report cimport AT_LEAST, EXACT
from ratelimit.usage.request cimport Declared
from ratelimit.usage.settling cimport correct, cost_of, moment, state_of
from ratelimit.usage.event cimport Part
from ratelimit.usage.units cimport COST, TEXT_BYTES, TEXT_TOKENS, has as says, number as saying, part_of
from ratelimit.usage.unsettled cimport Reservation

from ratelimit.algorithms import PREPAID as _PREPAID
from ratelimit.usage.learned import FIRST as _FIRST
from ratelimit.usage.prices import NO_PRICES as _NO_PRICES, as_price as _as_price, is_like
from ratelimit.usage.report import OF_OUTPUT as _OF_OUTPUT, UNITS as _UNITS
from ratelimit.usage.shapes import one_of as _one_of

cdef enum Unit:     # the places of `UNITS`, and two more
    FRESH_INPUT
    CACHE_WRITE
    CACHE_READ
    OUTPUT
    INPUT
    TOTAL
    DOLLARS
    OTHER

cdef enum Kind:
    FIXED           # the policy has a number
    DECLARED
    LEARNED
    TOLD            # a header or a state of the request has it

cdef enum:
    PINNING = 4             # how many first estimates an answer without a maximum may come to
    GUESSED = 16            # the part of a budget that a guess is charged at most, where what is in flight is bounded
    USEFUL = 1024           # the tokens of an answer that is worth its prompt: nine in ten answers are shorter
    LEAST_PART = 4          # and the part of a small budget that they are at most
    INSERTED = 4096         # a maximum that every model takes
    BYTES_TO_SPARE = 32     # how many times 3.5 bytes the longest tokens have: those of blanks
    ABSENT = -1             # in place of an identity, as Python lists them
    REFUSED_IDENTITY = -2

cdef int64_t LARGEST = <int64_t>1 << 31
cdef int64_t BEYOND = <int64_t>1 << 60  # no limit holds more
USD = "usd"
cdef int64_t TOKENS_AT_FIRST = _FIRST
cdef frozenset NO_CLAIM = frozenset({"", "auto"})     # of a service tier: it is as the account has it


@cython.final
@cython.auto_pickle(False)
cdef class MeteredRules:
    """The work for a plan around the application's answer: see the stub."""

    def __init__(self, rules, int64_t most_cost, PriceList prices not None):
        cdef int at
        cdef Meter *meter
        cdef list shapes = [], pers = []
        cdef bint words = False, pays = False
        self.rules = tuple(rules)
        self.count = len(self.rules)
        if self.count > MOST_RULES:
            raise ValueError(f"a decision carries at most {MOST_RULES} rules")
        self.most, self.prices = most_cost, prices
        self.names = [rule.name for rule in self.rules]
        self.units = [rule.unit for rule in self.rules]
        self.specs, self.unknown = [], []
        self.counts_output = True
        for at, rule in enumerate(self.rules):
            meter = &self.meters[at]
            spec = rule.metering
            meter.of, meter.longest = -1, -1
            meter.unit = DOLLARS if rule.unit == USD else _UNITS.index(rule.unit) if rule.unit in _UNITS else OTHER
            meter.estimate = min(rule.estimate, BEYOND)
            # Of a lifetime there may be more than its number: what was added.
            meter.burst = min(rule.burst, BEYOND) if rule.algorithm not in _PREPAID else BEYOND
            meter.most = meter.guess = min(meter.burst, self.most)
            per = tuple(rule.per)
            if per not in pers:
                pers.append(per)
            meter.account = pers.index(per)
            estimate = None if spec is None else spec.estimate
            unknown = None if spec is None else spec.unknown_price
            if rule.is_exposure:
                estimate, meter.of = None, self.beside(at)
                meter.unit = self.meters[meter.of].unit
                meter.longest = self.meters[meter.of].longest
                # What is in flight is bounded: so a guess takes no small budget's last part, and none is locked out.
                self.meters[meter.of].guess = max(<int64_t>1, self.meters[meter.of].most // GUESSED)
                self.has_exposure = True
            self.specs.append(estimate)
            self.unknown.append(None if unknown is None else _as_price(unknown))
            meter.has_free = prices.has_free or (unknown is not None and self.unknown[at].is_free)
            if estimate is not None:
                meter.kind = {"declared": DECLARED, "learned": LEARNED}.get(estimate.kind, TOLD)
                words = words or meter.kind != TOLD
            if spec is None or meter.of >= 0:
                continue
            meter.longest = -1 if spec.most is None else spec.most
            meter.is_in_full = spec.exposure == 1
            meter.grants = spec.grants and rule.is_enforced
            self.has_grants = self.has_grants or meter.grants
            if meter.grants and self.grant_field is None:
                self.grant_field = spec.grant_field
            self.has_exposure = self.has_exposure or meter.is_in_full
            pays = pays or rule.unit == USD
            meter.refuses_unknown = spec.refuses_unknown
            self.refuses_unknown = self.refuses_unknown or (spec.refuses_unknown and rule.is_enforced)
            meter.is_enforced = rule.is_enforced
            meter.is_read = spec.usage is not None
            if spec.usage is not None and spec.usage not in shapes:
                shapes.append(spec.usage)
            meter.cuts = spec.cuts and rule.is_enforced and rule.unit in _OF_OUTPUT
            self.has_cuts = self.has_cuts or meter.cuts
            self.counts_output = self.counts_output and not (meter.cuts and meter.unit != OUTPUT)
            self.has_models = self.has_models or bool(spec.models)
        # What a declared maximum is held against: the account that limits count by first.
        pers.append(next((tuple(rule.per) for rule in self.rules if rule.per and not rule.is_clustered), ()))
        self.pers = pers
        self.estimated = tuple([at for at in range(self.count) if self.meters[at].kind != FIXED])
        self.told = tuple([self.specs[at] for at in range(self.count) if self.meters[at].kind == TOLD])
        self.shape = _one_of(shapes)
        self.pays = pays
        self.asks_body = words or pays or self.has_models or self.has_exposure

    def of_model(self, model):
        return tuple([rule.index for rule in self.rules if model is None or applies(rule, model)])

    def fewest_costs(self):
        cdef int at
        cdef Meter *meter
        cdef list costs = [rule.estimate for rule in self.rules]
        for at in range(self.count):
            meter = &self.meters[at]
            if meter.kind != FIXED:
                is_known = meter.kind != TOLD and not (meter.unit == DOLLARS and meter.has_free)
                costs[at] = min(1, meter.burst) if is_known else 0
        return tuple(costs)

    def first_costs(self):
        cdef int at
        cdef Used used
        cdef list costs = [rule.estimate for rule in self.rules]
        for at in range(self.count):
            if self.meters[at].kind == DECLARED or self.meters[at].kind == LEARNED:
                first = TOKENS_AT_FIRST
                if self.meters[at].unit == DOLLARS:
                    used = of_tokens(0, 0, 0, TOKENS_AT_FIRST)
                    first = self.cost(at, &used, None, None, None)
                costs[at] = min(first, self.meters[at].most)
        for at in range(self.count):
            # Without a body it declares nothing, and no past of its route is known.
            if self.meters[at].is_in_full or self.meters[at].of >= 0:
                first = costs[at if self.meters[at].is_in_full else self.meters[at].of]
                costs[at] = min(max(self.longest_answer(at), first), self.meters[at].most)
        return tuple(costs)

    cdef int64_t longest_answer(self, int at) except -1:
        """Return what the longest answer comes to at a rule, where nothing looks at the request."""
        cdef int64_t output = self.meters[at].longest
        if output < 0:
            output = PINNING * TOKENS_AT_FIRST
        if self.meters[at].unit != DOLLARS:
            return output
        # What is in flight is priced as the limit beside it.
        return self.price_for(at if self.meters[at].of < 0 else self.meters[at].of, None).worst(0, output, 1)

    cdef int beside(self, int at) except -2:
        """Return the rule that one stands beside which counts what is in flight."""
        for other in range(at):
            if self.rules[other].index == self.rules[at].index - 1:
                return other
        raise ValueError("what is in flight is counted beside a limit")

    cdef Price price_for(self, int at, Price price):
        """Return the price of a model that has one, or what a model without one costs."""
        if price is None:
            price = <Price>self.unknown[at]
        return self.prices.dearest if price is None else price

    cdef int64_t cost(self, int at, const Used *used, Price price, str claimed, str answered) except -1:
        """Return what an answer costs in micro-dollars, by the price of its model if that is known.

        A request that claims a service tier is charged for the dearer one of that and of the answer's: a cheaper one
        counts if the answer says it, too.
        """
        cdef Price found = self.price_for(at, price)
        cdef int64_t millionths = found.factor(answered)
        if claimed is not None and claimed != answered and claimed not in NO_CLAIM:
            millionths = max(millionths, found.factor(claimed))
        return found.cost(used, millionths)

    def __reduce__(self):
        raise TypeError("it belongs to a plan")


@cython.final
@cython.auto_pickle(False)
@cython.freelist(8)
cdef class Use:
    """The costs and the use of one request: see the stub."""

    def __init__(self, MeteredRules rules not None, Learned learned not None, identities, str template not None):
        cdef Py_ssize_t at
        self.rules, self.learned, self.template = rules, learned, template
        self.granted = UNSAID
        self.size = len(identities)
        if self.size > MOST_POSITIONS:
            raise ValueError(f"there are at most {MOST_POSITIONS} identities")
        for at, identity in enumerate(identities):
            self.ids[at] = ABSENT_HASH if identity < 0 else identity
            if identity == REFUSED_IDENTITY:
                self.refused |= <uint64_t>1 << at

    def costs(self, Declared declared not None, dict told not None, now_ns, /):
        cdef uint64_t costs[MOST_RULES]
        self.check_made()
        self.declare(declared)
        self.fill(costs, moment(now_ns), told)
        return tuple([costs[at] for at in range(self.rules.count)])

    def lowered(self, Places places not None, seen, dict told not None, now_ns, /):
        cdef uint64_t costs[MOST_RULES]
        self.check_made()
        if self.declared is None:
            raise ValueError("costs are asked for first")
        self.lower(places, seen)
        self.fill(costs, moment(now_ns), told)
        return tuple([costs[at] for at in range(self.rules.count)])

    def least_costs(self, dict told not None, now_ns, /):
        cdef uint64_t costs[MOST_RULES]
        self.check_made()
        self.fill_least(costs, moment(now_ns), told)
        return tuple([costs[at] for at in range(self.rules.count)])

    cdef int check_made(self) except -1:
        if self.rules is None:
            raise ValueError("what a request takes was never initialised")
        return 0

    cdef int take_ids(self, uint64_t *ids, uint64_t refused, int size) noexcept:
        """Take the identities; noexcept: within arrays of a fixed size."""
        memcpy(self.ids, ids, size * sizeof(uint64_t))
        self.refused, self.size = refused, size
        return 0

    cdef int declare(self, Declared declared) except -1:
        """Take what the request declares; what was found of its model before goes."""
        self.declared = declared
        self.granted = UNSAID
        self.price, self.is_priced = None, False
        self.routes = None
        return 0

    cdef object account(self, int which):
        """Return what rules count by: identities, by some positions."""
        cdef list row
        cdef int at
        if self.accounts is None:
            self.accounts = [None] * len(self.rules.pers)
        found = self.accounts[which]
        if found is None:
            row = []
            for at in self.rules.pers[which]:
                if self.refused >> at & 1:
                    row.append(REFUSED_IDENTITY)
                else:
                    row.append(ABSENT if self.ids[at] == ABSENT_HASH else self.ids[at])
            found = self.accounts[which] = tuple(row)
        return found

    cdef object route(self, int at):
        """Return what a rule's estimates are learned by: its unit on the route, for an API and a model.

        Else a route of embeddings would say that chats use nothing, and a cheap model what a dear one costs.
        """
        if self.routes is None:
            self.routes = [None] * self.rules.count
        found = self.routes[at]
        if found is None:
            found = self.routes[at] = (
                self.rules.names[at], self.template, self.declared.said.fields, self.declared.model
            )
        return found

    cdef Price asked_price(self):
        if not self.is_priced:
            self.is_priced = True
            self.price = None if self.declared is None else self.rules.prices.of(self.declared.model)
        return self.price

    cdef int64_t worth(self, int at, int64_t output, int64_t of_input) except -1:
        """Return so many tokens in a rule's unit, at most: in dollars as the dearest that the model answers with."""
        if self.rules.meters[at].unit == DOLLARS:
            return self.rules.price_for(at, self.asked_price()).worst(of_input, output, self.answers())
        return output + of_input if self.rules.meters[at].unit == TOTAL else output

    cdef int64_t answers(self) noexcept:
        """Return how many answers the request asks for; noexcept: of numbers that are read."""
        return min(self.declared.said.choices * max(<int64_t>1, self.declared.said.prompts), LARGEST)

    cdef int64_t worst(self, int at, int64_t charged, bint is_trusted) except -1:
        """Return what a request may use of a rule that charged it so much on arrival.

        Its own maximum, and never another's past: that could be anyone's.
        """
        cdef int64_t of_input = self.declared.said.size * TEXT_TOKENS // TEXT_BYTES
        cdef int64_t output = self.declared.said.output, longest = self.rules.meters[at].longest, found = 0
        if longest >= 0:
            output = longest if output == UNSAID or not is_trusted else min(output, longest)
        if output != UNSAID:
            found = self.worth(at, output, of_input)
        if output == UNSAID or not (is_trusted or longest >= 0):
            found = max(found, self.learned.furthest(
                self.route(at), self.worth(at, PINNING * TOKENS_AT_FIRST, of_input)
            ))
        return max(found, charged)

    cdef int64_t fits(self, int at, int64_t amount, int64_t of_input) except -1:
        """Return the most output tokens that an amount of a rule's unit is enough for."""
        cdef int64_t low = 0, high = LARGEST, middle
        if self.rules.meters[at].unit == OUTPUT:
            return min(max(amount, <int64_t>0), LARGEST)
        while low < high:
            middle = (low + high + 1) // 2
            if self.worth(at, middle, of_input) <= amount:
                low = middle
            else:
                high = middle - 1
        return low

    cdef int lower(self, Places places, object seen) except -1:
        """Lower what is declared to what rules have left, as an outcome shows it; None: that is not known.

        A request gets half of what is left at most, so that the next one has room, too. Of that it gets what
        makes an answer useful, if there is so much. If not, it asks for so much all the same, and is refused.
        """
        cdef MeteredRules rules = self.rules
        cdef Declared lowered
        cdef int64_t times = self.answers()
        cdef int64_t of_input = self.declared.said.size * TEXT_TOKENS // TEXT_BYTES
        cdef int64_t wanted = INSERTED, longest = UNSAID, most = UNSAID, left, least, found
        cdef int at
        for at in range(rules.count):
            if rules.meters[at].grants and rules.meters[at].longest >= 0:
                found = rules.meters[at].longest
                longest = found if longest == UNSAID else min(longest, found)
        if longest != UNSAID:
            wanted = longest
        wanted *= times
        if places.says():
            wanted = min(wanted, self.declared.said.output) if longest != UNSAID else self.declared.said.output
        wanted = max(<int64_t>1, wanted)
        for at in range(rules.count):
            if not rules.meters[at].grants or (seen is not None and state_of(seen, at) == SKIPPED):
                continue
            least = max(<int64_t>1, min(USEFUL * times, self.fits(at, rules.meters[at].burst // LEAST_PART, 0)))
            least = min(wanted, least + max(<int64_t>0, places.least) * times)
            found = least
            if seen is not None:
                left = max(<int64_t>0, <int64_t>seen.remaining(at))
                found = max(least, min(self.fits(at, left, of_input), self.fits(at, left // 2, of_input)))
            most = found if most == UNSAID else min(most, found)
        if most == UNSAID:
            return 0
        self.granted = max(<int64_t>1, min(wanted, most) // times)
        lowered = Declared.__new__(Declared)
        lowered.said, lowered.model, lowered.tier = self.declared.said, self.declared.model, self.declared.tier
        lowered.said.output = min(self.granted * times, LARGEST)
        lowered.said.each = self.granted
        lowered.said.by = places.by
        self.declared = lowered
        return 0

    cdef int fill(self, uint64_t *costs, uint64_t now, dict told) except -1:
        """Fill in what each rule takes on arrival: at most all that it can hold."""
        cdef MeteredRules rules = self.rules
        cdef Meter *meter
        cdef PyObject *value
        cdef Used used
        cdef int64_t output = self.declared.said.output, found, most, first
        cdef int64_t of_input = self.declared.said.size * TEXT_TOKENS // TEXT_BYTES
        cdef int by = self.declared.said.by, at
        cdef bint is_trusted = True
        if by and not self.learned.trusts(self.account(len(rules.pers) - 1), self.template, by, now):
            output, is_trusted = UNSAID, False
        for at in range(rules.count):
            meter = &rules.meters[at]
            costs[at] = meter.estimate
            if meter.kind != FIXED:
                found = meter.estimate
                if meter.kind == TOLD:
                    value = PyDict_GetItemWithError(told, rules.specs[at])
                    if value != NULL:
                        found = UNSAID if <object>value is None else min(<object>value, BEYOND)
                if found == UNSAID or meter.kind != TOLD:
                    most = first = UNSAID
                    if meter.unit == OUTPUT:
                        most = output
                    elif meter.unit == TOTAL:
                        if output != UNSAID:
                            most = output + of_input
                    elif meter.unit == INPUT or meter.unit == FRESH_INPUT:
                        if of_input:
                            most = of_input
                    elif meter.unit == DOLLARS:
                        used = of_tokens(of_input, 0, 0, TOKENS_AT_FIRST)
                        used.images = self.answers()
                        first = rules.cost(at, &used, self.asked_price(), self.declared.tier, None)
                        if output != UNSAID:
                            used.output = output
                            most = rules.cost(at, &used, self.asked_price(), self.declared.tier, None)
                    if meter.kind == DECLARED and most != UNSAID:
                        found = self.learned.held(self.route(at), most, first, meter.burst)
                    else:
                        found = self.learned.expected(
                            self.account(meter.account), self.route(at), most, now, first, meter.burst
                        )
                        found = min(found, meter.guess)
                costs[at] = max(<int64_t>0, min(found, meter.most))
        if rules.has_exposure:
            for at in range(rules.count):
                meter = &rules.meters[at]
                if meter.of >= 0:
                    costs[at] = min(self.worst(meter.of, costs[meter.of], is_trusted), meter.most)
                elif meter.grants and self.granted != UNSAID and is_trusted:
                    costs[at] = min(self.worth(at, output, of_input), meter.most)
                elif meter.is_in_full:
                    costs[at] = min(self.worst(at, costs[at], is_trusted), meter.most)
        for at in range(rules.count):
            # A rule that is not enforced shows what it would refuse: more than it ever holds. See `lacks_price`.
            meter = &rules.meters[at]
            if meter.refuses_unknown and not meter.is_enforced and meter.burst < rules.most and self.asked_price() is None:
                costs[at] = meter.burst + 1
        return 0

    def has_no_price(self):
        self.check_made()
        return self.lacks_price()

    cdef bint lacks_price(self) except -1:
        """Return whether a rule that applies refuses the request, as its model has no price.

        By the model alone: no amount is too large for every budget.
        """
        cdef MeteredRules rules = self.rules
        cdef int at
        if not rules.refuses_unknown or self.asked_price() is not None:
            return False
        for at in range(rules.count):
            if rules.meters[at].refuses_unknown and rules.meters[at].is_enforced and self.is_counted(at):
                return True
        return False

    cdef bint is_counted(self, int at) except -1:
        """Return whether the request has every identity that a rule counts by; if it must have one, others refuse it."""
        cdef int position
        for position in self.rules.pers[self.rules.meters[at].account]:
            if self.ids[position] == ABSENT_HASH or self.refused >> position & 1:
                return False
        return True

    cdef int fill_least(self, uint64_t *costs, uint64_t now, dict told) except -1:
        """Fill in the least that `fill` can, whatever the body turns out to declare."""
        cdef MeteredRules rules = self.rules
        cdef Meter *meter
        cdef PyObject *value
        cdef int64_t found
        cdef int at
        for at in range(rules.count):
            meter = &rules.meters[at]
            costs[at] = meter.estimate
            if meter.kind != FIXED:
                found = meter.estimate
                if meter.kind == TOLD:
                    value = PyDict_GetItemWithError(told, rules.specs[at])
                    if value != NULL:
                        found = UNSAID if <object>value is None else min(<object>value, BEYOND)
                if found == UNSAID or meter.kind != TOLD:
                    found = not (meter.unit == DOLLARS and meter.has_free)
                costs[at] = max(<int64_t>0, min(found, meter.most))
        return 0

    cdef int amounts(self, Reader reader, const Used *used, bint is_exact, int64_t *found) except -1:
        """Fill in what rules that are read are to be charged for an answer, of which some may be settled.

        Args:
            reader: what watched it; it has the receipts and the models.
            used: all of it.
            is_exact: whether that is certain.
        """
        cdef MeteredRules rules = self.rules
        cdef int64_t amount, all_input = used.fresh_input + used.cache_write + used.cache_read
        cdef int at, unit
        if rules.pays:
            self.take_receipts(reader)
        for at in range(rules.count):
            if not rules.meters[at].is_read:
                continue
            unit = rules.meters[at].unit
            if unit == OUTPUT:
                amount = used.output
            elif unit == TOTAL:
                amount = all_input + used.output
            elif unit == INPUT:
                amount = all_input
            elif unit == FRESH_INPUT:
                amount = used.fresh_input
            elif unit == CACHE_READ:
                amount = used.cache_read
            elif unit == CACHE_WRITE:
                amount = used.cache_write
            else:
                amount = self.open_dollars(at, reader, used, is_exact)
            found[at] = min(amount, rules.most)
        return 0

    cdef int take_receipts(self, Reader reader) except -1:
        """Price the receipts that are new, each by its own model."""
        cdef Receipt one
        cdef int at
        if reader.receipts is None:
            return 0
        if not self.rules.pays:
            reader.receipts = None
            return 0
        for one in reader.receipts:
            for at in range(self.rules.count):
                if self.rules.meters[at].is_read and self.rules.meters[at].unit == DOLLARS:
                    self.paid[at] = min(BEYOND, self.paid[at] + self.dollars(
                        at, &one.used, one.model, one.tier, one.cost, one.is_exact, one.parts, one.part_count
                    ))
        reader.receipts = None
        return 0

    cdef int64_t open_dollars(self, int at, Reader reader, const Used *used, bint is_exact) except -1:
        """Return what an answer costs at a rule: its receipts, and the response under way beside them."""
        cdef int64_t said = saying(&reader.said, COST) if says(&reader.said, COST) else -1
        cdef Used rest = without(used, &reader.settled)
        if reader.receipt_count and is_nothing(&rest) and said < 0:
            return self.paid[at]
        return self.paid[at] + self.dollars(
            at, &rest, reader.found_name, reader.found_tier, said, is_exact, reader.said.parts, reader.said.part_count
        )

    cdef int64_t dollars(
        self, int at, const Used *used, bytes model, str tier, int64_t said, bint is_exact, const Part *parts,
        int part_count,
    ) except -1:
        """Return micro-dollars for one response.

        Its provider's own dollars count, where it says them at its end. Else each share is priced by its model,
        and a gateway may answer with another model than it was asked for: the dearer of the two.
        """
        cdef Used rest = used[0], one
        cdef int64_t amount = 0
        cdef int part
        if said > 0 and is_exact:
            return (said + 999) // 1000
        for part in range(part_count):
            one = part_of(&parts[part])
            rest = without(&rest, &one)
            amount += self.dearer(at, &one, parts[part].name[:parts[part].name_size] or model, tier)
        if not part_count or not is_nothing(&rest):
            amount += self.dearer(at, &rest, model, tier)
        return max(amount, (said + 999) // 1000)

    cdef int64_t dearer(self, int at, const Used *used, bytes model, str tier) except -1:
        """Return the price of so much by the model that was asked for or that answered, whichever is dearer."""
        cdef Price price = self.asked_price(), other = None
        cdef int64_t amount
        cdef str claimed = None if self.declared is None else self.declared.tier
        if model is not None:
            other = self.rules.prices.of(model.decode("utf-8", "replace"))
        if price is None:
            price, other = other, None
        amount = self.rules.cost(at, used, price, claimed, tier)
        return amount if other is None else max(amount, self.rules.cost(at, used, other, claimed, tier))

    cdef int settle(
        self, object plan, object outcome, Reservation reservation, object reported, int certainty, const Used *used,
        Reader reader, bint is_broken, bint is_hidden, object now_ns
    ) except -1:
        """Settle an answer that has ended, and learn from it.

        Args:
            plan, outcome: what decided.
            reservation: of its estimates; None without any.
            reported: units that the application has settled by itself; None: none.
            certainty, used: what the answer said.
            reader: what watched it.
            is_broken: it ended before its end, and is charged what was seen. What was seen of output has had
                the whole prompt, as far as that was charged.
            is_hidden: it came in a coding that is not read. So it is charged all that it may have used.
            now_ns: when.
        """
        cdef MeteredRules rules = self.rules
        cdef int64_t found[MOST_RULES]
        cdef int64_t whole[MOST_RULES]
        cdef Used all_of_it
        cdef int64_t output
        cdef uint64_t now
        cdef bint is_sure
        cdef int at
        if certainty < AT_LEAST:
            return 0
        now = moment(now_ns)
        if self.declared.said.by and self.declared.said.output != UNSAID:
            # What was counted by its bytes may be a few long tokens: only far more is beyond a maximum.
            output = used.output if certainty == EXACT else used.output // BYTES_TO_SPARE
            self.learned.vote(
                self.account(len(rules.pers) - 1), self.template, self.declared.said.by, self.declared.said.output, output,
                now,
            )
        self.amounts(reader, used, certainty == EXACT, found)
        if is_broken:
            all_of_it = used[0]
            if not all_of_it.fresh_input + all_of_it.cache_write + all_of_it.cache_read:
                all_of_it.fresh_input = self.declared.said.size * TEXT_TOKENS // TEXT_BYTES
            self.amounts(reader, &all_of_it, certainty == EXACT, whole)
        stand_ins = None if plan is None else plan.stand_ins
        for at in range(rules.count):
            if not rules.meters[at].is_read or state_of(outcome, at) != ALLOWED:
                continue
            if reported is not None and rules.units[at] in reported:
                continue  # the application said it itself
            if is_broken:
                found[at] = max(found[at], min(whole[at], cost_of(outcome, at)))
            elif is_hidden:
                found[at] = min(max(found[at], self.worst(at, cost_of(outcome, at), True)), rules.most)
            is_sure = certainty == EXACT or (rules.meters[at].unit == OUTPUT and reader.is_output_sure)
            if is_sure or is_broken or found[at] > cost_of(outcome, at):
                correct(outcome, at, found[at], now_ns)
                if stand_ins and at in stand_ins:
                    correct(outcome, stand_ins[at], found[at], now_ns)
            if is_sure:
                if reservation is not None:
                    reservation.settle_unit(rules.units[at])
                self.learned.take(self.account(rules.meters[at].account), self.route(at), found[at], now)
            elif reservation is not None and found[at]:
                reservation.seen = True
        if plan is not None and plan.stages:
            plan.freed(outcome)
        return 0

    cdef int settle_nothing(self, object plan, object outcome, object reported, object now_ns) except -1:
        """Settle an answer that produced nothing."""
        cdef MeteredRules rules = self.rules
        cdef int at
        stand_ins = None if plan is None else plan.stand_ins
        for at in range(rules.count):
            if not rules.meters[at].is_read or state_of(outcome, at) != ALLOWED:
                continue
            if reported is not None and rules.units[at] in reported:
                continue
            correct(outcome, at, 0, now_ns)
            if stand_ins and at in stand_ins:
                correct(outcome, stand_ins[at], 0, now_ns)
        return 0

    cdef bint ended(self, bint is_left) except -1:
        """Note how an answer ended; return whether the account's clients left before others as a habit."""
        account = self.account(len(self.rules.pers) - 1)
        cdef bint is_habit = is_left and self.learned.leaves(account)
        self.learned.end(account, is_left)
        return is_habit

    def __reduce__(self):
        raise TypeError("a request under way is not pickled")


def metered(rules, int64_t most_cost, PriceList prices=_NO_PRICES):
    for rule in rules:
        if rule.metering is not None:
            return MeteredRules(rules, most_cost, prices)
    return None


def applies(rule, str model not None):
    patterns = () if rule.metering is None else rule.metering.models
    return not patterns or any([is_like(model, pattern) for pattern in patterns])
