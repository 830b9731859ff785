"""Where members who pay differently meet, and what that says of each payment method."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from ratelimit.core.census cimport Census
from ratelimit.core.evidence cimport principal_at
from ratelimit.core.fitting cimport COUNTED, LEAD, MIXED, Heard
from ratelimit.core.profile cimport Fit, Profile
from ratelimit.core.traits cimport FINE_EDGES, Identifier, Principal, count_for, is_infrastructure, resolve

# What it says against a payment method that one who pays with it is seen where colleagues are at home.
cdef float AT_HOME = 4.0


cdef class Support(Census):
    def bridge(self, uint32_t start, uint32_t stop):
        """Count whose payment method another has too, and find where those who pay differently meet; after `tally`."""
        cdef uint32_t at
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                if principal_at(self.evidence, at).label:
                    self.look(at + 2)
                    self.share_one(principal_at(self.evidence, at))
                    self.bridge_one(principal_at(self.evidence, at))

    cdef void bridge_one(self, Principal *p) noexcept nogil:
        cdef Identifier *node
        cdef uint32_t coarse = 0
        cdef uint32_t payment = self.payment_of(p)
        cdef int i
        if payment == 0:
            return
        for i in range(FINE_EDGES):
            node = resolve(self.evidence.identifiers, p.edges[i].ref)
            if node == NULL or is_infrastructure(node):
                continue
            self.weigh(node, payment)
            if node.parent != coarse:
                coarse = node.parent
                node = resolve(self.evidence.identifiers, coarse)
                if node != NULL:
                    self.weigh(node, payment)

    cdef void weigh(self, Identifier *node, uint32_t payment) noexcept nogil:
        """Let a payment method vote at a place (Boyer and Moore, 1981), and note if there are several."""
        cdef uint64_t place = node - self.evidence.identifiers
        cdef uint16_t lead = self.leads[place]
        if self.tops[place] == payment:
            if lead & LEAD < LEAD:
                self.leads[place] = lead + 1
        elif self.tops[place] == 0:
            self.tops[place] = payment
            self.leads[place] = 1
        elif lead & LEAD:
            self.leads[place] = (lead - 1) | MIXED
        else:
            self.tops[place] = payment
            self.leads[place] = 1 | MIXED

    cdef bint is_meeting(self, Identifier *node, uint32_t label, int least) noexcept nogil:
        """Whether members who pay differently meet at a place that is largely theirs, and none is at home there.

        Where one payment method has three quarters of the members, the others came to it: an
        office does not meet the campaign because one of that was seen on its address.
        """
        cdef uint64_t place = node - self.evidence.identifiers
        cdef uint32_t members = count_for(node, label)
        cdef double part = self.settings.share if least == 2 else max(0.5, self.settings.share)
        return (
            self.leads[place] & MIXED != 0 and members >= <uint32_t>least and members >= part * node.degree
            and 2 * (self.leads[place] & LEAD) <= members
        )

    def support(self, uint32_t start, uint32_t stop):
        """Count for each payment method how many of its principals' edges lead to meetings; after `bridge`."""
        cdef uint32_t at
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                if principal_at(self.evidence, at).label:
                    self.look(at + 2)
                    self.support_one(principal_at(self.evidence, at))

    cdef void support_one(self, Principal *p) noexcept nogil:
        cdef Identifier *node
        cdef Identifier *parent
        cdef Identifier *ids = self.evidence.identifiers
        cdef Profile *c = self.profiles + p.label
        cdef uint32_t payment = self.payment_of(p)
        cdef uint64_t place
        cdef uint32_t number
        cdef Heard *heard
        cdef Fit fit
        cdef int i
        cdef bint meets, at_home = False
        if payment == 0:
            return
        place = resolve(ids, payment) - ids
        number = self.number_of(place)
        if number == 0:
            return
        heard = self.heard + (number - 1)
        memset(&fit, 0, sizeof(Fit))
        self.behave(p, p.label, 1.0, &fit)
        heard.agreed += <float>(
            self.client_fit(p, p.label, 1.0, c, &self.background) + fit.volume + fit.rhythm + fit.age
        )
        if self.leads[place] & COUNTED == 0:
            self.leads[place] |= COUNTED
            c.payments += 1
        for i in range(FINE_EDGES):
            node = resolve(ids, p.edges[i].ref)
            if node == NULL or is_infrastructure(node):
                continue
            parent = resolve(ids, node.parent)
            at_home = at_home or (self.is_home(node, payment) and count_for(node, p.label) >= <uint32_t>self.settings.sharing)
            meets = self.is_meeting(node, p.label, 2) or (parent != NULL and self.is_meeting(parent, p.label, 4))
            if heard.held < <uint32_t>0xFFFE0000:
                heard.held += <uint32_t>(1 << 16) + (1 if meets else 0)
            c.held += 1.0
            if not meets:
                continue
            c.meeting += 1.0
            # An address counts for its network, and that only once.
            place = (parent if parent != NULL else node) - ids
            if self.leads[place] & COUNTED == 0:
                self.leads[place] |= COUNTED
                c.meetings += 1
        if at_home:
            heard.agreed -= AT_HOME
