/* The operating system's clocks, in nanoseconds. */
#ifndef KIN_OS_TIME_H
#define KIN_OS_TIME_H

#include <stdint.h>
#include <time.h>

/* A reading can fail only for a clock that a system lacks. Every system that builds this has the three. */
static inline int64_t kin_time(clockid_t which) {
    struct timespec now;
    clock_gettime(which, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline int64_t kin_monotonic(void) { return kin_time(CLOCK_MONOTONIC); }
static inline int64_t kin_civil(void) { return kin_time(CLOCK_REALTIME); }
static inline int64_t kin_processor(void) { return kin_time(CLOCK_THREAD_CPUTIME_ID); }

#endif
