"""Prices of models, in whole nano-dollars: see the stub for the contract."""

cimport cython
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t

import re as _re

cdef extern from *:
    """
    /* Micro-dollars, rounded up once; at most 2**60, which is more than any limit holds. A price of a thousand tokens has 40
       bits and a count of tokens 41, so a product does not fit 64. */
    static inline int64_t kin_cost_micro(const uint64_t *price, uint64_t fresh, uint64_t output, uint64_t read,
                                         uint64_t write, uint64_t hour) {
        unsigned __int128 sum = (unsigned __int128)fresh * price[0] + (unsigned __int128)output * price[1]
            + (unsigned __int128)read * price[2] + (unsigned __int128)write * price[3]
            + (unsigned __int128)hour * price[4];
        uint64_t nano;
        if ((uint64_t)(sum >> 64) || (uint64_t)sum > ((uint64_t)1 << 62)) {
            sum = ((sum + 999) / 1000 + price[5] + 999) / 1000;
            return sum > (unsigned __int128)1 << 60 ? (int64_t)1 << 60 : (int64_t)sum;
        }
        nano = ((uint64_t)sum + 999) / 1000 + price[5];
        return (int64_t)((nano + 999) / 1000);
    }
    """
    int64_t cost_micro "kin_cost_micro"(
        const uint64_t *price, uint64_t fresh, uint64_t output, uint64_t read, uint64_t write, uint64_t hour
    ) noexcept nogil

cdef enum:
    MOST_KNOWN = 1024       # names that clients send are remembered, so many of so many characters
    LONGEST_KNOWN = 128

cdef object DATED = _re.compile(r"[-@:](?:[0-9]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2}|latest)(?:-v[0-9]+(?::[0-9]+)?)?$")
cdef tuple PARTS_OF_PRICE = ("fresh_input", "output", "cache_read", "cache_write", "cache_write_1h", "request")


@cython.final
@cython.auto_pickle(False)
cdef class Price:
    """The price of a model: see the stub."""

    def __init__(
        self, uint64_t fresh_input, uint64_t output, uint64_t cache_read, uint64_t cache_write, uint64_t cache_write_1h,
        uint64_t request=0,
    ):
        self.parts = [fresh_input, output, cache_read, cache_write, cache_write_1h, request]
        if max(fresh_input, output, cache_read, cache_write, cache_write_1h, request) > <uint64_t>1 << 61:
            raise ValueError("a price has at most 61 bits")
        self.hashed = hash(self.numbers)

    @property
    def numbers(self):
        return tuple([self.parts[i] for i in range(PARTS)])

    @property
    def is_free(self):
        return not self.parts[5] and not (self.parts[0] and self.parts[1])

    def cost_micro(self, usage):
        cdef Used used = Used(
            usage.fresh_input, usage.cache_write, usage.cache_read, usage.output, usage.cache_write_1h
        )
        return self.cost(&used)

    cdef int64_t cost(self, const Used *used) noexcept:
        return cost_micro(
            self.parts, used.fresh_input, used.output, used.cache_read, used.cache_write - used.cache_write_1h,
            used.cache_write_1h,
        )

    def __eq__(self, other):
        cdef int i
        if type(other) is not Price:
            return NotImplemented
        for i in range(PARTS):
            if self.parts[i] != (<Price>other).parts[i]:
                return False
        return True

    def __hash__(self):
        return self.hashed

    def __repr__(self):
        return f"Price{self.numbers}"

    def __reduce__(self):
        return Price, self.numbers


def plain_name(str model not None):
    return model.strip().casefold()


def dearest_of(prices):
    listed = [one.numbers for one in prices]
    return Price(*(max([one[at] for one in listed], default=0) for at in range(PARTS)))


def as_price(spec):
    return Price(*[getattr(spec, name) for name in PARTS_OF_PRICE])


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
        for model, price in self.prices.items():
            if type(price) is not Price:
                raise TypeError("a price is a Price")
            several.setdefault(plain_name(model), []).append(price)
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
        found = PyDict_GetItemWithError(self.prices, model)
        if found == NULL:
            found = PyDict_GetItemWithError(self.known, model)
        if found != NULL:
            return <Price><object>found
        name = plain_name(model)
        price = (
            self.prices.get(DATED.sub("", model)) or self.plain.get(name) or self.plain.get(DATED.sub("", name))
        )
        if len(<str>model) <= LONGEST_KNOWN:
            if len(self.known) >= MOST_KNOWN:
                self.known.clear()
            self.known[model] = price
        return <Price>price  # each is one, or None

    def __reduce__(self):
        return PriceList, (self.prices,)


NO_PRICES = PriceList({})
