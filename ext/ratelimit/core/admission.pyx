"""Who belongs to a cluster that it fits so well: the rules beside the sum."""

from libc.stdint cimport uint32_t

from ratelimit.core.fitting cimport OWNED, SETTLED_S, YOUNG
from ratelimit.core.profile cimport NEARBY, SPEAKS, Fit, Profile, manner, rhythm_bin, unlikeness
from ratelimit.core.seeds cimport Seeds
from ratelimit.core.traits cimport PAYMENT, PAYMENT_AT, Identifier, Principal, resolve

# What the addresses of one who pays as members do may say against it: one where only others were seen.
cdef double LEAST_NETWORK = -1.2


cdef class Admission(Seeds):
    cdef bint fits(self, Principal *p, uint32_t label, Fit *fit, double least) noexcept nogil:
        self.fit(p, label, fit)
        return self.accepts(p, label, fit, least)

    cdef bint accepts(self, Principal *p, uint32_t label, Fit *fit, double least) noexcept nogil:
        """Return whether a fit, once known, is good enough."""
        cdef Profile *c = self.profiles + label
        cdef bint stays = p.label == label and self.identities[label] != 0
        if unlikeness(fit) >= self.settings.unlike * (2.0 if stays else 1.0):
            # Unless all else is the cluster's own: among many even ones somebody is odd.
            return fit.total >= least and fit.network >= 4.0 and fit.payment >= 2.5 and (
                fit.client >= 3.0 or manner(fit) >= SPEAKS
            )
        if p.label != label and p.first_s + SETTLED_S < c.first_s:
            # It was here long before: it takes more, and networks of its own choosing among it.
            return fit.total >= least + 2.0 and fit.families >= 3 and fit.networks >= 2
        if p.requests < YOUNG and fit.client >= 3.0 and fit.network > NEARBY * self.settings.network_each and (
            fit.total >= self.settings.stay and (fit.payment < 0.0 or c.sharing < 0.5 * c.size)
        ):
            # A newcomer with a client that only members have, at an address of theirs, not only in its neighbourhood.
            return True
        if fit.payment >= SPEAKS and fit.network > LEAST_NETWORK and fit.client > -1.0 and c.sharing >= 0.7 * c.size and (
            fit.owned >= OWNED or fit.age >= 0.0
        ):
            # Its payment method is the cluster's own, and nothing else speaks against it. By that alone whom it
            # was stolen from is not told apart: whoever is new at places of its own has to ask some more.
            return fit.total >= min(least, self.settings.paid) and (
                stays or fit.network > 0.0 or fit.client >= 1.0 or rhythm_bin(p) >= 0
            )
        if c.sharing >= 0.9 * c.size and p.edges[PAYMENT_AT].ref and fit.payment < 0.0:
            # It pays by itself, and this cluster does not: a new method has to be used first by somebody.
            return fit.total >= least and fit.networks >= 2 and self.is_telling_apart(p, fit)
        if c.sharing >= 0.9 * c.size and p.edges[PAYMENT_AT].ref and fit.payment == 0.0:
            # Many pay as it does, and they do not meet the others: it has to do so itself.
            return fit.total >= least and fit.families >= 2 and fit.networks >= 2
        if self.columns.kinds_at[PAYMENT] < 0 and fit.networks < 2:
            # Where nobody pays, and each address is somebody: a network that one client fills.
            return fit.network >= 1.0 and fit.client >= 2.0 and fit.total >= self.settings.paid
        if c.sharing < 0.5 * c.size and not self.sets_apart(p, fit, stays):
            return False
        # Of who is a member, a manner like the others' is a witness of its own.
        return fit.total >= least and fit.families >= 2 and (
            fit.networks + (stays and manner(fit) >= SPEAKS) >= <int>c.needs
        )

    cdef bint is_telling_apart(self, Principal *p, Fit *fit) noexcept nogil:
        cdef Identifier *payment = resolve(self.evidence.identifiers, p.edges[PAYMENT_AT].ref)
        if fit.client >= 2.5:
            return fit.payment > -3.0 or manner(fit) >= SPEAKS
        # By exits and manner alone it may be whoever else rents the same exits; or another actor's, who shares
        # its method with others: that takes more exits.
        return manner(fit) >= SPEAKS and fit.client > -1.0 and payment != NULL and fit.networks >= (
            3 if payment.degree < self.settings.sharing else 4
        )

    cdef bint sets_apart(self, Principal *p, Fit *fit, bint stays) noexcept nogil:
        """Return whether client, rhythm and answers tell a member from whoever else rents the same exits, and roams there."""
        if rhythm_bin(p) < 0:
            return fit.client >= (1.0 if stays else 2.5)
        if fit.client >= 2.5 and manner(fit) >= -0.5:
            return True
        return manner(fit) >= (0.0 if stays else 1.0) and fit.client > -1.0
