/*
 * shm/lock.c - waiting for a lock, and now and then asking the system whether its holder still lives.
 */
#include "shm/lock.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    SPINS = 100,  /* looks before giving the processor away */
    YIELDS = 200, /* before sleeping between looks */
    SLEEP_NS = 50000,
    LOOKS_PER_COMPLAINT = 20000, /* about two seconds */
    LOOKS_PER_QUESTION = 20      /* sleeps between two questions whether the holder lives */
};

static uint32_t self; /* asking the system each time would cost more than the lock */

void shm_lock_know_self(void)
{
    self = (uint32_t)getpid();
}

/* A zombie is dead for us: its parent may be slow to bury it. */
static bool is_dead(uint32_t pid)
{
    char path[32], text[256];
    siginfo_t child = {0};
    if (waitid(P_PID, pid, &child, WEXITED | WNOHANG | WNOWAIT) == 0)
        return child.si_pid == (pid_t)pid; /* our own child: no need to look further */
    if (kill((pid_t)pid, 0) < 0 && errno == ESRCH)
        return true;
    snprintf(path, sizeof path, "/proc/%u/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false; /* nobody lets us see (hidepid): then its parent's burying it is what tells */
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *end_of_name = strrchr(text, ')');
    return end_of_name && strlen(end_of_name) > 2 && strchr("ZX", end_of_name[2]);
}

static bool try_take(_Atomic uint32_t *lock, uint32_t from)
{
    return atomic_load_explicit(lock, memory_order_relaxed) == from &&
           atomic_compare_exchange_strong_explicit(lock, &from, self, memory_order_acquire,
                                                   memory_order_relaxed);
}

static void spin_once(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

static void pause_between_looks(unsigned looks)
{
    static const struct timespec moment = {0, SLEEP_NS};
    if (looks < SPINS)
        spin_once();
    else if (looks < SPINS + YIELDS)
        sched_yield();
    else
        nanosleep(&moment, NULL);
}

bool shm_lock(_Atomic uint32_t *lock)
{
    for (unsigned looks = 0; !try_take(lock, 0); looks++) {
        pause_between_looks(looks);
        if (looks < SPINS + YIELDS || looks % LOOKS_PER_QUESTION)
            continue;
        uint32_t holder = atomic_load_explicit(lock, memory_order_relaxed);
        if (holder && is_dead(holder) && try_take(lock, holder))
            return true;
        if (looks % LOOKS_PER_COMPLAINT == 0)
            log_alert(
                "process %u holds a lock of the shared memory and does not go on; if it was stopped, continue it "
                "(kill -CONT) or end it (kill -KILL)",
                holder);
    }
    return false;
}

void shm_unlock(_Atomic uint32_t *lock)
{
    atomic_store_explicit(lock, 0, memory_order_release);
}
