/* A mapping whose file is cut short answers reads and writes with SIGBUS, which ends a process.
 * Here such a fault in memory that is registered puts zeros in the place of the whole mapping, of
 * this process alone, and marks it broken; the instruction then runs again. A fault anywhere else
 * goes to the handler that was there before.
 *
 * The handler reads the registry without a lock: entries are only ever added in front, an entry
 * is in force while its start is not 0, and its start is written last. All it calls are the
 * system calls mmap and sigaction, and raise.
 */
#ifndef KINLIMIT_FAULT_H
#define KINLIMIT_FAULT_H

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

typedef struct kin_range {
    uintptr_t start; /* 0: not in use */
    size_t size;
    int broken;
    struct kin_range *next;
} kin_range;

static kin_range *kin_ranges = NULL;
static struct sigaction kin_former;
static volatile sig_atomic_t kin_is_forwarding = 0;

static int kin_heal(uintptr_t address)
{
    kin_range *range = __atomic_load_n(&kin_ranges, __ATOMIC_ACQUIRE);
    for (; range != NULL; range = range->next) {
        uintptr_t start = __atomic_load_n(&range->start, __ATOMIC_ACQUIRE);
        if (start == 0 || address - start >= range->size)
            continue;
        /* Marked first: when the zeros can be seen it can be told that they mean nothing. */
        __atomic_store_n(&range->broken, 1, __ATOMIC_RELEASE);
        return mmap((void *)start, range->size, PROT_READ | PROT_WRITE,
                    MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
    }
    return 0;
}

static void kin_on_fault(int number, siginfo_t *info, void *context)
{
    int kept = errno;
    /* Above 0: the kernel says so, and the address is one. Sent by a process: it is not. */
    if (info->si_code > 0 && info->si_code != BUS_ADRALN && kin_heal((uintptr_t)info->si_addr)) {
        errno = kept;
        return;
    }
    if (kin_is_forwarding || (!(kin_former.sa_flags & SA_SIGINFO) &&
                              (kin_former.sa_handler == SIG_DFL || kin_former.sa_handler == SIG_IGN))) {
        /* As if this handler had never been there. A fault comes again at once. */
        struct sigaction plain = kin_former;
        if (kin_is_forwarding)
            plain.sa_handler = SIG_DFL, plain.sa_flags = 0;
        sigaction(number, &plain, NULL);
        if (info->si_code <= 0)
            raise(number);
    } else {
        kin_is_forwarding = 1; /* the former handler may have this one for its own former */
        if (kin_former.sa_flags & SA_SIGINFO)
            kin_former.sa_sigaction(number, info, context);
        else
            kin_former.sa_handler(number);
        kin_is_forwarding = 0;
    }
    errno = kept;
}

/* Put the handler in front of whatever handles SIGBUS now. Returns 0, or -1 with errno set. */
static int kin_stand_guard(void)
{
    struct sigaction now, ours;
    if (sigaction(SIGBUS, NULL, &now))
        return -1;
    if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == kin_on_fault)
        return 0;
    kin_former = now;
    ours.sa_sigaction = kin_on_fault;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigemptyset(&ours.sa_mask);
    return sigaction(SIGBUS, &ours, NULL);
}

/* Returns NULL where there is no memory for an entry. Called with the GIL. */
static kin_range *kin_register(void *at, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    kin_range *range = kin_ranges;
    while (range != NULL && range->start != 0)
        range = range->next;
    if (range == NULL) {
        range = calloc(1, sizeof(kin_range));
        if (range == NULL)
            return NULL;
        range->next = kin_ranges;
        __atomic_store_n(&kin_ranges, range, __ATOMIC_RELEASE);
    }
    range->size = (size + page - 1) / page * page;
    __atomic_store_n(&range->broken, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&range->start, (uintptr_t)at, __ATOMIC_RELEASE);
    return range;
}

/* Entries are kept for the next: the handler may be looking at this one. */
static void kin_unregister(kin_range *range) { __atomic_store_n(&range->start, 0, __ATOMIC_RELEASE); }
static void kin_mend(kin_range *range) { __atomic_store_n(&range->broken, 0, __ATOMIC_RELEASE); }
static void kin_break(kin_range *range) { __atomic_store_n(&range->broken, 1, __ATOMIC_RELEASE); }
static int kin_is_broken(kin_range *range) { return __atomic_load_n(&range->broken, __ATOMIC_ACQUIRE); }

#endif
