"""Prices of models, in whole nano-dollars: see the stub for the contract."""

cimport cython
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

import re as _re
from functools import lru_cache as _lru_cache

cdef extern from *:
    """
    /* Micro-dollars, rounded up once; at most 2**60, which is more than any limit holds. `sum` has nano-dollars for a
       thousand tokens each: a price of these has 61 bits and a count 41, and there are ten kinds, so up to 106 bits.
       Millionths of a service tier have 27 more: so much is beyond 2**60 anyway where it does not fit. */
    typedef unsigned __int128 kin_sum;
    static inline int64_t kin_micro(kin_sum sum, uint64_t millionths, kin_sum fees) {
        if (sum >> 100)
            return (int64_t)1 << 60;
        if (millionths == 1000000)
            sum = (sum + 999) / 1000;
        else
            sum = (sum * millionths + 999999999) / 1000000000;
        sum = (sum + fees + 999) / 1000;
        return sum > (kin_sum)1 << 60 ? (int64_t)1 << 60 : (int64_t)sum;
    }
    """
    ctypedef int kin_sum        # wider than any of Cython's
    int64_t kin_micro(kin_sum sum, uint64_t millionths, kin_sum fees) noexcept nogil

cdef enum:
    MOST_KNOWN = 1024       # names that clients send are remembered, so many of so many characters
    LONGEST_KNOWN = 128
    ONE = 1000000           # in millionths

DATED = _re.compile(r"[-@:](?:[0-9]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2}|latest)(?:-v[0-9]+(?::[0-9]+)?)?$")
# The order of `Kind`, and of `Fee`.
RATES = (
    "input", "output", "cache_read", "cache_write", "cache_write_1h", "audio_input", "audio_cache_read", "audio_output",
    "image_input", "image_output",
)
PER_PIECE = ("request", "search", "image")
CHEAPER = frozenset({"batch", "flex"})
"""Service tiers that cost no more than the price itself, wherever a policy has no factor for them."""
PLAIN = frozenset({"", "default", "standard", "standard_only", "auto", "on_demand"})
"""Names of the tier that the price itself is of."""


@cython.final
@cython.auto_pickle(False)
cdef class Price:
    """The price of a model: see the stub."""

    def __init__(self, rates, fees=(), bands=(), tiers=None):
        cdef int at, kind
        cdef list listed = [(0, tuple(rates)), *[(above, tuple(more)) for above, more in bands]]
        if len(listed) > MOST_BANDS:
            raise ValueError(f"a price has at most {MOST_BANDS - 1} bands")
        if sorted({above for above, _ in listed}) != [above for above, _ in listed]:
            raise ValueError("bands are in order")
        memset(self.rates, 0, sizeof(self.rates))
        memset(self.fees, 0, sizeof(self.fees))
        self.bands = len(listed)
        for at, (above, numbers) in enumerate(listed):
            if len(numbers) != KINDS:
                raise ValueError(f"a band has {KINDS} rates")
            self.above[at] = above
            for kind, number in enumerate(numbers):
                if not 0 <= number <= 1 << 61:
                    raise ValueError("a price has at most 61 bits")
                self.rates[at][kind] = number
        fees = tuple(fees) + (0,) * (FEES - len(fees))
        for at, number in enumerate(fees):
            if not 0 <= number <= 1 << 61:
                raise ValueError("a price has at most 61 bits")
            self.fees[at] = number
        self.tiers = {} if tiers is None else {name.casefold(): factor for name, factor in dict(tiers).items()}
        if any([not 0 <= factor <= 100 * ONE for factor in self.tiers.values()]):
            raise ValueError("a tier costs at most a hundred times the price")
        self.compared = (tuple(listed), fees, tuple(sorted(self.tiers.items())))
        self.hashed = hash(self.compared)
        self.complete()

    cdef int complete(self) except -1:
        """Find the dearest that an answer can be: of any kind, in any band, at any tier."""
        cdef int at
        self.dearest_tier = max([ONE] + list(self.tiers.values()))
        self.other_tier = self.dearest_tier
        self.worst_input = self.worst_output = 0
        for at in range(self.bands):
            self.worst_output = max(self.worst_output, max(
                self.rates[at][<int>OUT], max(self.rates[at][<int>AUDIO_OUT], self.rates[at][<int>IMAGE_OUT])
            ))
            for kind in (FRESH, READ, WRITE, WRITE_1H, AUDIO_IN, AUDIO_READ, IMAGE_IN):
                self.worst_input = max(self.worst_input, self.rates[at][<int>kind])
        return 0

    @property
    def parts(self):
        return self.compared

    @property
    def is_free(self):
        # A limit in dollars does not know what of these an answer will have.
        if any(self.compared[1]):
            return False
        return not (self.rates[0][<int>FRESH] and self.rates[0][<int>OUT]) or 0 in self.tiers.values()

    def factor_of(self, tier):
        return self.factor(tier)

    cdef int64_t factor(self, object tier) except -1:
        """Return what a service tier costs, in millionths of the price."""
        cdef PyObject *found
        if tier is None:
            return ONE
        found = PyDict_GetItemWithError(self.tiers, tier)
        if found != NULL:
            return <object>found
        return ONE if tier in PLAIN or tier in CHEAPER else self.other_tier

    def cost_micro(self, usage, tier=None):
        cdef Used used = used_of_numbers(usage.numbers)
        return self.cost(&used, self.factor(tier))

    def worst_micro(self, int64_t of_input, int64_t output, int64_t images=1):
        return self.worst(of_input, output, images)

    cdef int64_t cost(self, const Used *used, int64_t millionths) noexcept:
        cdef int at = self.bands - 1
        cdef const uint64_t *rate
        cdef kin_sum sum, fees
        cdef uint64_t audio, image
        while at and <uint64_t>(used.fresh_input + used.cache_write + used.cache_read) <= self.above[at]:
            at -= 1
        rate = self.rates[at]
        # Shares are at most what they are of, whatever was said.
        audio = min(used.audio_input, used.fresh_input)
        image = min(used.image_input, used.fresh_input - <int64_t>audio)
        sum = <kin_sum>(<uint64_t>used.fresh_input - audio - image) * rate[<int>FRESH]
        sum += <kin_sum>audio * rate[<int>AUDIO_IN]
        sum += <kin_sum>image * rate[<int>IMAGE_IN]
        audio = min(used.audio_output, used.output)
        image = min(used.image_output, used.output - <int64_t>audio)
        sum += <kin_sum>(<uint64_t>used.output - audio - image) * rate[<int>OUT]
        sum += <kin_sum>audio * rate[<int>AUDIO_OUT]
        sum += <kin_sum>image * rate[<int>IMAGE_OUT]
        audio = min(used.audio_read, used.cache_read)
        sum += <kin_sum>(<uint64_t>used.cache_read - audio) * rate[<int>READ]
        sum += <kin_sum>audio * rate[<int>AUDIO_READ]
        sum += <kin_sum>(<uint64_t>used.cache_write - <uint64_t>used.cache_write_1h) * rate[<int>WRITE]
        sum += <kin_sum>used.cache_write_1h * rate[<int>WRITE_1H]
        fees = <kin_sum>self.fees[<int>OF_REQUEST]
        fees += <kin_sum>used.searches * self.fees[<int>OF_SEARCH]
        fees += <kin_sum>used.images * self.fees[<int>OF_IMAGE]
        return kin_micro(sum, millionths, fees)

    cdef int64_t worst(self, int64_t of_input, int64_t output, int64_t images) noexcept:
        """Return the most that so many tokens cost, whatever they are and however they are served."""
        cdef kin_sum sum, fees
        sum = <kin_sum>of_input * self.worst_input
        sum += <kin_sum>output * self.worst_output
        fees = <kin_sum>self.fees[<int>OF_REQUEST]
        fees += <kin_sum>images * self.fees[<int>OF_IMAGE]
        return kin_micro(sum, self.dearest_tier, fees)

    def __eq__(self, other):
        return self.compared == (<Price>other).compared if type(other) is Price else NotImplemented

    def __hash__(self):
        return self.hashed

    def __repr__(self):
        return f"Price{self.compared}"

    def __reduce__(self):
        (_, rates), *bands = self.compared[0]
        return Price, (rates, self.compared[1], tuple(bands), dict(self.compared[2]))


cdef Used used_of_numbers(object numbers):
    """Return a use of its numbers, in the order of the structure."""
    cdef Used used
    cdef int64_t *number = <int64_t *>&used
    cdef int at
    memset(&used, 0, sizeof(used))
    for at, one in enumerate(numbers):
        number[at] = one
    return used


def plain_name(str model not None):
    return model.strip().casefold()


def dearest_of(prices):
    cdef list listed = list(prices)
    cdef list thresholds = sorted({above for one in listed for above, _ in one.parts[0]} | {0})
    cdef list bands
    # Of more bands than a price has, the last stands for all beyond it.
    bands = [
        (above, _highest([_rates_at(one, above if at + 1 < MOST_BANDS else thresholds[len(thresholds) - 1])
                          for one in listed], KINDS))
        for at, above in enumerate(thresholds[:MOST_BANDS])
    ]
    tiers = {name for one in listed for name, _ in one.parts[2]}
    return Price(
        bands[0][1], _highest([one.parts[1] for one in listed], FEES), bands[1:],
        {name: max([one.factor_of(name) for one in listed]) for name in tiers},
    )


def _rates_at(price, above):
    """Return the highest rates of a price up to a band, kind by kind."""
    return _highest([rates for threshold, rates in price.parts[0] if threshold <= above], KINDS)


def _highest(listed, int size):
    return tuple([max([one[at] for one in listed], default=0) for at in range(size)])


def as_price(spec):
    return Price(spec.rates, spec.fees, spec.bands, spec.tiers)


def price_list(prices):
    return PriceList({model: as_price(spec) for model, spec in prices.items()})


@cython.final
@cython.auto_pickle(False)
cdef class PriceList:
    """Prices by model: see the stub."""

    def __init__(self, prices):
        cdef dict several = {}
        self.prices = dict(prices)
        self.known = {}
        self.patterns = []
        for model, price in self.prices.items():
            if type(price) is not Price:
                raise TypeError("a price is a Price")
            if "*" in model:
                self.patterns.append((model, price))
            else:
                several.setdefault(plain_name(model), []).append(price)
        self.patterns.sort(key=_length, reverse=True)
        self.plain = {model: dearest_of(listed) for model, listed in several.items()}
        self.dearest = dearest_of(self.prices.values())
        self.has_free = not self.prices or any([price.is_free for price in self.prices.values()])

    def __len__(self):
        return len(self.prices)

    def find(self, *models):
        cdef Price found
        for model in models:
            found = self.of(model)
            if found is not None:
                return found
        return None

    cdef Price of(self, object model):
        """Return the price of a model; None without one, or without a model."""
        cdef PyObject *found
        cdef str name
        if model is None:
            return None
        found = PyDict_GetItemWithError(self.known, model)
        if found != NULL:
            return <Price><object>found
        found = PyDict_GetItemWithError(self.prices, model)
        if found != NULL:
            return <Price><object>found
        name = plain_name(model)
        price = (
            self.prices.get(DATED.sub("", model)) or self.plain.get(name) or self.plain.get(DATED.sub("", name))
        )
        if price is None:
            price = next((one for pattern, one in self.patterns if is_like(model, pattern)), None)
        if len(<str>model) <= LONGEST_KNOWN:
            if len(self.known) >= MOST_KNOWN:
                self.known.clear()
            self.known[model] = price
        return <Price>price  # each is one, or None

    def __reduce__(self):
        return PriceList, (self.prices,)


def _length(pair):
    return len(plain_name(pair[0]).replace("*", ""))


NO_PRICES = PriceList({})


def _is_like(str model not None, str pattern not None):
    name = plain_name(model)
    first, *rest = plain_name(pattern).split("*")
    if not rest:
        return name == first
    *midst, last = rest
    if not name.startswith(first) or len(name) < len(first) + len(last) or not name.endswith(last):
        return False
    at, end = len(first), len(name) - len(last)
    for part in midst:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


is_like = _lru_cache(maxsize=4096)(_is_like)
