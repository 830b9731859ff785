/* How a thread gets the interpreter's lock back beside an event loop that never rests.
 *
 * A saturated loop lets go of the lock in each turn, for the microsecond that its system call takes,
 * ten thousands of times a second. Each time it signals the thread that waits. Waking takes longer
 * than that microsecond, so the thread finds the lock taken again. It asks for the lock by force only
 * after a wait of 5 ms without a signal, and there is none (CPython's `take_gil`). So it waits for
 * 100 ms, or a second: correlating nearly stops while a campaign saturates the worker.
 *
 * So a thread that is about to take the lock asks the main thread, by a pending call, to stay away
 * from the lock until this thread has it. The main thread gives way for `KIN_MOST_NS` at most.
 * It does nothing when the thread has the lock already, as it has where the loop was at rest.
 *
 * All that a module does is to include this file: from then on the end of each `with nogil` asks.
 * State is the module's own, one word that all threads change atomically:
 *
 *     process (32 bits) | whether the main thread is asked (1) | threads that wait (31)
 *
 * - The process is there for a child: its parent's waiting threads are not in it.
 * - One request at a time, so nothing piles up while the main thread runs no Python code.
 * - The main thread asks nobody. Who it is each request finds out: pending calls are its own.
 */
#ifndef KINLIMIT_HANDOVER_H
#define KINLIMIT_HANDOVER_H

#include <Python.h>
#include <pythread.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#if PY_VERSION_HEX < 0x030D0000
#define Py_IsFinalizing _Py_IsFinalizing
#endif

#define KIN_MOST_NS 1000000
/* How long a thread works before it lets others have the lock, and for how long it does. */
#define KIN_BREATH_NS 500000
/* A thread wakes in 5 to 100 microseconds; a sleep is 50 longer than it is asked to be. */
#define KIN_LOOK_NS 20000
#define KIN_ASKED (UINT64_C(1) << 31)
#define KIN_WAITING (KIN_ASKED - 1)

static uint64_t kin_turn = 0;
static unsigned long kin_main_thread = 0; /* 0: not known yet */
static __thread int64_t kin_breathed_ns = 0;

static uint64_t kin_of_process(uint64_t turn)
{
    uint64_t process = (uint64_t)(uint32_t)getpid() << 32;
    return turn >> 32 == process >> 32 ? turn : process;
}

static int64_t kin_elapsed_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Without the lock: pause, if this thread has not for so long. A thread that writes, or calls what does, frees
 * the lock too shortly for an event loop to wake up, just as the loop does; and without that a loop waits 5 ms. */
static int kin_is_breath_due(void)
{
    return kin_elapsed_ns() - kin_breathed_ns >= KIN_BREATH_NS;
}

static void kin_breathe(void)
{
    const struct timespec pause = {0, KIN_BREATH_NS};
    nanosleep(&pause, NULL);
    kin_breathed_ns = kin_elapsed_ns();
}

/* What the main thread is asked to do, with the lock held. */
static int kin_give_way(void *unused)
{
    const struct timespec look = {0, KIN_LOOK_NS};
    int64_t begin_ns;
    PyThreadState *state;
    uint64_t turn = __atomic_fetch_and(&kin_turn, ~KIN_ASKED, __ATOMIC_ACQ_REL);
    (void)unused;
    __atomic_store_n(&kin_main_thread, PyThread_get_thread_ident(), __ATOMIC_RELAXED);
    if (!(kin_of_process(turn) & KIN_WAITING))
        return 0;
    state = PyEval_SaveThread();
    begin_ns = kin_elapsed_ns();
    while (__atomic_load_n(&kin_turn, __ATOMIC_ACQUIRE) & KIN_WAITING &&
           kin_elapsed_ns() - begin_ns < KIN_MOST_NS)
        nanosleep(&look, NULL);
    PyEval_RestoreThread(state);
    return 0;
}

static int kin_knows_main_thread(void)
{
    return __atomic_load_n(&kin_main_thread, __ATOMIC_RELAXED) != 0;
}

/* Ask for the lock, with or without it; return whether `kin_has_it` is to be called with it. */
static int kin_ask(void)
{
    uint64_t seen, turn;
    /* An interpreter that ends has no list of calls any more, and no lock for this thread. */
    if (__atomic_load_n(&kin_main_thread, __ATOMIC_RELAXED) == PyThread_get_thread_ident() || Py_IsFinalizing())
        return 0;
    seen = __atomic_load_n(&kin_turn, __ATOMIC_RELAXED);
    do {
        turn = kin_of_process(seen);
    } while (!__atomic_compare_exchange_n(&kin_turn, &seen, (turn + 1) | KIN_ASKED, 0, __ATOMIC_ACQ_REL,
                                          __ATOMIC_RELAXED));
    /* The list is full: others' calls are made as soon as these would be, then the next may ask. */
    if (!(turn & KIN_ASKED) && Py_AddPendingCall(kin_give_way, NULL))
        __atomic_fetch_and(&kin_turn, ~KIN_ASKED, __ATOMIC_RELEASE);
    return 1;
}

static void kin_has_it(void)
{
    uint64_t seen = __atomic_load_n(&kin_turn, __ATOMIC_RELAXED);
    /* Of another process: this one forked while it waited. */
    while (kin_of_process(seen) == seen && seen & KIN_WAITING &&
           !__atomic_compare_exchange_n(&kin_turn, &seen, seen - 1, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        ;
}

static void kin_return(PyThreadState *state)
{
    int asked = kin_ask();
    PyEval_RestoreThread(state);
    if (asked)
        kin_has_it();
}

/* By this the code of a `with nogil` takes the lock again, in each release of Cython. */
#define PyEval_RestoreThread kin_return

#endif
