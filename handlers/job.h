/*
 * handlers/job.h - what is behind a handler's weir_request: the exchange, the task, and the way of its output.
 *
 * Ownership: lives in the arena of its exchange. From pool_submit until the task has ended both belong to the pool's
 *            thread; the loop touches only what is marked below.
 * Streaming: the thread puts output into `pending` under the gate and calls `output` once; the loop takes it all
 *            under the gate when the connection has room, and wakes the thread.
 */
#ifndef WEIR_HANDLERS_JOB_H
#define WEIR_HANDLERS_JOB_H

#include "base/list.h"
#include "handlers/handler.h"
#include "http/request/exchange.h"
#include "pool/gate.h"
#include "pool/pool.h"
#include "shm/running.h"
#include "worker/loop/doors.h"
#include "worker/loop/pools.h"

/* Where a job is that is not in this worker's pool: handlers/lend.c. */
struct job_lent {
    bool is;
    struct sibling to;
    uint32_t index;
    uint64_t tag;
    uint64_t since_us;
    uint32_t waited_us, ran_us; /* elsewhere */
    bool never;                 /* it is too large, or was not taken */
    bool broken;                /* some of its output is lost */
    struct buf head;            /* the beginning of a large one */
    bool has_begun;             /* elsewhere, where it has died */
    struct pool_notice turn;
    /* What hears of its end at last. */
    void (*ended)(struct worker *w, struct loop_task *task);
    /* Of those that have not been seen to begin, or in none. */
    struct list_node link;
};

/* What a handler wants called when nobody waits any more: handlers/cancel.c. */
struct job_cancel {
    struct pool_task task; /* first */
    /* The thread's: most handlers never do. */
    bool is_asked_for;
    /* Under the gate. */
    void (*call)(void *arg); /* NULL: none is wanted */
    void *arg;
    bool begun, done;
    void (*begun_call)(void *arg); /* the one that was begun */
};

/* A body that is read while it comes: what the loop has put here for the handler. */
struct job_body {
    /* It comes while the job runs; else it was there before, as any other's. */
    bool comes;
    size_t read; /* of one that was there */
    /* Under the gate. */
    struct buf came;
    bool over;        /* that is all */
    bool failed;      /* memory was out for some of it */
    bool runs;        /* the handler has begun */
    bool has_stopped; /* the loop, as it was full */
    /* The loop has been told that there is room again. */
    bool is_wanted;
    struct pool_notice notice;
};

enum { JOB_WHOLE_BODY_MAX = 64 << 10, JOB_AHEAD_MAX = 1 << 20, JOB_BODY_AHEAD_MAX = 256 << 10 };

struct weir_request {
    struct loop_task task; /* first */
    struct http_exchange *ex;
    const struct weir_handler *handler;
    void *settings;
    uint64_t deadline_ms; /* monotonic, 0: none */
    int result;           /* what run returned */
    /* Where what runs is recorded; NULL: nowhere. */
    struct running_table *running;
    /* The job's record there, from its start to its release, or NULL. */
    struct running *record;
    const struct slice *variables; /* the values of handler->variables */
    struct slice cookies;          /* all Cookie lines as one, once asked for */
    /* The thread's: written and not yet handed over. */
    struct buf body;
    /* The loop's: taken over, and not yet on its way to the client. */
    struct buf taken;
    struct job_body body_in;
    /* Tells the loop that there is room for more of the body; from the thread. */
    void (*want_body)(struct weir_request *job);
    /* The thread's own for this handler. */
    void *thread_state;
    void *mapped_body;
    size_t mapped_bytes;
    /* The thread's: the head has been handed over, and the request's arena with it. */
    bool streaming;
    struct arena late; /* the thread's from then on */
    /* Of its connection, and its own part of that; NULL: it is alone, or elsewhere. */
    struct http_lead *lead;
    _Atomic uint64_t ahead;
    /* Set by the loop: nobody waits for the response any more. */
    _Atomic bool gone;
    /* Tells the loop of new pending output; from the thread. */
    void (*output)(struct weir_request *job);
    /* under the gate */
    struct gate gate;
    struct buf pending;
    struct job_cancel cancel;
    /* The job is in the loop's list: it must not be put there twice. */
    bool announced;
    /* the loop's */
    int client_socket; /* meanwhile the request has none */
    bool orphaned;     /* by its request: it runs on alone */
    struct pool *pool; /* the task's */
    /* Among those that this worker has submitted to the pool, the oldest first, or in no list. */
    struct list_node waits;
    struct job_lent lent;
    _Atomic uint64_t begun_us; /* by a thread of this worker; 0: not yet */
    bool ended;                /* the task; output may still have to go */
    /* In the worker's list of orphans, or in none. */
    struct list_node orphan;
    /* Counted in the worker's given_up until the task ends. */
    bool given_up;
    struct pool_notice notice; /* of new output */
    /* On the loop, of one that is asked and not served by: what comes of the result. NULL: a response. */
    struct verdict (*answered)(struct http_exchange *ex, bool done, int result);
    bool head_sent;
};

/* Prepares a zeroed job. */
void job_init(struct weir_request *job, struct http_exchange *ex, const struct weir_handler *handler,
              void *settings);

/* The pool task's run: calls the handler. */
void job_run(struct pool_task *task);

/* weir_log without the handler's name: for what nginx says in the same words, which others look for. */
void job_log(struct weir_request *job, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* How many variables it reads. */
static inline int job_count_variables(const struct weir_handler *handler)
{
    int count = 0;
    while (handler->variables && handler->variables[count])
        count++;
    return count;
}

/* On the loop: so much of its output is on the way to the client. */
void job_sent(struct weir_request *job, size_t bytes);

/* What the handler's thread may allocate from. */
struct arena *job_arena(struct weir_request *job);

/* A copy with a zero behind it, for a handler; its thread fails where memory is out. */
const char *job_text(struct weir_request *job, struct slice s);

/* What the calling thread runs, or NULL. Safe in a signal handler. */
struct running *job_current_record(void);

/* Fills in what the request says of itself. Safe in a signal handler. */
void job_describe(struct running *record, const struct http_exchange *ex);

/* Frees what is outside the arena. After the task has ended. */
void job_release(struct weir_request *job);

/* The loop gives the job up: writes fail from now on, a waiting writer goes on. */
void job_orphan(struct weir_request *job);

/* The loop has taken the job off its list of announcements: the next output is announced again. */
void job_heard(struct weir_request *job);

/* On the loop: more of the body has come, and perhaps its end. Where memory is out, it has failed. */
void job_body_came(struct weir_request *job, struct slice bytes, bool whole);

/* On the loop: no more is to be read for now. */
bool job_body_is_full(struct weir_request *job);

/* On the loop: the handler has said that there is room again, which it may say anew. False: it is full by now. */
bool job_body_heard(struct weir_request *job);

/* On the job's thread, before it runs: from now on more of the body may wait for it. */
void job_body_begin(struct weir_request *job);

/* weir_read of a body that comes while the job runs. */
ssize_t job_body_read(struct weir_request *job, void *buffer, size_t bytes);

/* The loop takes the pending output; *out is empty before. Returns false when there was none. */
bool job_take_output(struct weir_request *job, struct buf *out);

#endif
