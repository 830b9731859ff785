from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from ratelimit.core.sharing.flight cimport RANKS, FlightHeader, Lane, Minute, Place, Seen, ShareMemory, ShedMemory, Sums, Ticket


cdef class InFlight:
    cdef Py_buffer buffer
    cdef object memory
    cdef FlightHeader *header
    cdef Lane *lanes
    cdef Place *places
    cdef Seen *answers
    cdef ShedMemory *shed
    cdef Minute *minutes
    cdef ShareMemory *shares
    cdef uint64_t fingerprint[2]
    cdef uint8_t boot[64]
    cdef readonly bint open
    cdef Sums sums              # others' as of the last look at all lanes; its own memory only repeats
    cdef uint64_t ranks[RANKS]  # its own in flight, by class
    cdef int lane               # -1: none was free, so the others do not see its requests
    cdef uint64_t pid
    cdef uint64_t start
    cdef Ticket *tickets
    cdef uint32_t room_for
    cdef uint32_t first_free
    cdef uint32_t *free_places
    cdef uint32_t places_free
    cdef uint64_t step_ns
    cdef uint64_t next_look_ns
    cdef bint leads
    cdef readonly int floor
    cdef readonly uint64_t entered
    cdef uint64_t entered_by[RANKS]  # by class, since they were last taken

    cdef int check_open(self) except -1
    cdef str wrong(self)
    cdef int attach(self, bytes boot_id, bytes fingerprint) except -1
    cdef void look(self, uint64_t now) noexcept
    cdef bint room(self, uint64_t now, double share, double kept, int rank, uint64_t units=*) noexcept
    cdef int64_t admit(self, uint64_t now, int rank, uint64_t units=*) except -2
    cdef uint64_t units(self, double work) noexcept
    cdef void learn_unit(self, double work) noexcept
    cdef void begin(self, int64_t ticket, uint64_t now, bint failed) noexcept
    cdef void note(self, uint64_t admitted, uint64_t now, uint64_t counts, bint failed) noexcept
    cdef void end(self, int64_t ticket, uint64_t now) noexcept
    cdef bint is_due(self, uint64_t now) noexcept
    cdef Ticket *known(self, int64_t ticket) noexcept
    cdef void leave_place(self, Ticket *ticket) noexcept
    cdef int grow(self) except -1
    cdef void went_on(self, int rank) noexcept
    cdef void take_lane(self, int lane, uint64_t now) noexcept
