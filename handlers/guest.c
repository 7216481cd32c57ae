/*
 * handlers/guest.c - a request of another worker: unpacked, run, its output sent back, its end told.
 */
#include "handlers/guest.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/hist.h"
#include "base/list.h"
#include "base/log.h"
#include "handlers/auth_basic.h"
#include "handlers/job.h"
#include "handlers/lending.h"
#include "handlers/parcel.h"
#include "handlers/turn.h"
#include "http/request/client.h"
#include "http/request/exchange.h"
#include "http/site/site.h"
#include "http/wire/credentials.h"
#include "pool/pool.h"
#include "shm/permit.h"
#include "shm/shm.h"
#include "worker/loop/doors.h"
#include "worker/loop/exchanges.h"
#include "worker/loop/pools.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SHOWN_REASON_MAX = 4096,
    AHEAD_MAX = 256 << 10, /* sent, and not yet taken by the client */
    PIECE_BYTES = 32 << 10 /* of one message */
};

struct guest {
    struct weir_request job; /* first */
    struct list_node link;   /* of the worker's */
    struct sibling from;
    bool is_lost; /* its lender is dead */
    struct parcel_id id;
    _Atomic uint64_t *entry; /* in the lender's memory */
    uint64_t sent, taken;    /* bytes of a stream */
    bool streams;            /* output comes while it runs */
    bool stream_has_begun;
    bool has_failed; /* that was said */
    bool ended;
    _Atomic bool taken_back;   /* the lender was first */
    struct http_cleanup heirs; /* of the lender's permits */
};

/* --- back to the lender --- */

static bool say(struct worker *w, const struct guest *g, enum door_kind kind, struct buf *out)
{
    return g->is_lost || doors_say(w, g->from, kind, buf_slice(out));
}

static struct buf *empty_parcel(struct worker *w)
{
    struct buf *out = &w->lending->parcel;
    out->start = out->end = 0;
    return out;
}

/* Memory is out for what is to be said: the lender is told that the job has failed, in a few bytes. */
static bool fail(struct worker *w, struct guest *g)
{
    static const char reason[] = "out of memory for its answer";
    struct {
        struct parcel_end end;
        char reason[sizeof reason - 1];
    } bytes = {.end = {.id = g->id,
                       .outcome = POOL_TASK_FAILED,
                       .is_stream = g->stream_has_begun,
                       .reason_bytes = sizeof bytes.reason}};
    memcpy(bytes.reason, reason, sizeof bytes.reason);
    struct slice message = {(const char *)&bytes, sizeof bytes.end + sizeof bytes.reason};
    if (!g->is_lost && !doors_say(w, g->from, DOOR_ENDED, message))
        log_error("out of memory for what goes back to worker %d", g->from.slot);
    g->has_failed = true;
    return false;
}

static bool say_output(struct worker *w, struct guest *g, const struct parcel_output *o, struct slice bytes)
{
    struct buf *out = empty_parcel(w);
    return buf_append(out, o, sizeof *o) && (!bytes.len || buf_append_slice(out, bytes)) &&
           say(w, g, DOOR_OUTPUT, out);
}

/* The head of the response into `head`, but for what is too large for one message: that goes ahead. */
static bool pack_head(struct worker *w, struct guest *g, struct buf *head)
{
    struct parcel_output part = {.id = g->id, .part_of_head = true};
    bool ok = parcel_pack_head(head, &g->job.ex->res);
    while (ok && buf_len(head) > PIECE_BYTES) {
        ok = say_output(w, g, &part, (struct slice){head->data + head->start, PIECE_BYTES});
        buf_consume(head, PIECE_BYTES);
    }
    return ok;
}

/* With the head, if it is the first. False: its lender has been told that the job has failed. */
static bool send_output(struct worker *w, struct guest *g, struct slice bytes, bool is_stream, bool with_head)
{
    struct buf head = {0};
    struct parcel_output o = {.id = g->id, .is_stream = is_stream, .has_head = with_head};
    bool ok = (!with_head || pack_head(w, g, &head)) &&
              (!with_head || !bytes.len || buf_append_slice(&head, bytes)) &&
              say_output(w, g, &o, with_head ? buf_slice(&head) : bytes);
    buf_free(&head);
    return ok || fail(w, g);
}

/* What a log shows of it. */
static struct slice reason_of(const struct pool_task *t)
{
    struct slice reason =
        t->outcome == POOL_TASK_FAILED && t->fail_reason ? slice_of(t->fail_reason) : (struct slice){0};
    reason.len = reason.len < SHOWN_REASON_MAX ? reason.len : SHOWN_REASON_MAX;
    return reason;
}

/* At most what fits, which is more than an hour. */
static uint32_t between_us(uint64_t from_us, uint64_t to_us)
{
    uint64_t us = to_us > from_us ? to_us - from_us : 0;
    return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

static void say_end(struct worker *w, struct guest *g, int outcome, struct slice bytes)
{
    const struct pool_task *t = &g->job.task.task;
    struct slice reason = reason_of(t);
    bool with_head = outcome == POOL_TASK_DONE && !g->stream_has_begun;
    struct buf head = {0};
    struct parcel_end e = {.id = g->id,
                           .outcome = outcome,
                           .result = g->job.result,
                           .is_stream = g->stream_has_begun,
                           .has_head = with_head,
                           .reason_bytes = (uint32_t)reason.len,
                           .waited_us = between_us(t->submitted_us, t->started_us),
                           .ran_us = between_us(t->started_us, t->ended_us)};
    if (g->has_failed)
        return;
    bool ok = !with_head || pack_head(w, g, &head);
    struct buf *out = empty_parcel(w);
    ok = ok && buf_append(out, &e, sizeof e) && (!reason.len || buf_append_slice(out, reason)) &&
         (!buf_len(&head) || buf_append_slice(out, buf_slice(&head))) &&
         (!bytes.len || buf_append_slice(out, bytes)) && say(w, g, DOOR_ENDED, out);
    buf_free(&head);
    if (!ok)
        fail(w, g);
}

static void free_guest(struct worker *w, struct guest *g)
{
    struct http_exchange *ex = g->job.ex;
    list_remove(&g->link);
    job_release(&g->job);
    exchange_free(w, ex);
}

/* As much of a stream as may be ahead of the client. False: some of it is left. */
static bool send_stream(struct worker *w, struct guest *g)
{
    struct weir_request *job = &g->job;
    while (g->sent - g->taken < AHEAD_MAX) {
        if (buf_len(&job->taken) == 0) {
            buf_free(&job->taken);
            /* A head alone goes out, too: who flushes wants that. */
            if (!job_take_output(job, &job->taken) && g->stream_has_begun)
                return true;
        }
        struct slice piece = buf_slice(&job->taken);
        piece.len = piece.len < PIECE_BYTES ? piece.len : PIECE_BYTES;
        bool begins = !g->stream_has_begun;
        g->stream_has_begun = true;
        if (!send_output(w, g, piece, true, begins)) {
            job_orphan(job);
            if (!g->ended)
                list_push_back(&w->orphans, &job->orphan);
            return true;
        }
        g->sent += piece.len;
        buf_consume(&job->taken, piece.len);
    }
    return false;
}

/* What was written of a response that is not streamed, but for the last piece. */
static struct slice send_body(struct worker *w, struct guest *g)
{
    struct slice left = buf_slice(&g->job.body);
    while (left.len > PIECE_BYTES) {
        if (!send_output(w, g, (struct slice){left.data, PIECE_BYTES}, false, false))
            return (struct slice){0};
        left = (struct slice){left.data + PIECE_BYTES, left.len - PIECE_BYTES};
    }
    return left;
}

static void go_on(struct worker *w, struct guest *g)
{
    bool streams = g->streams;
    if (streams && !send_stream(w, g))
        return;
    if (!g->ended)
        return;
    bool whole = !streams && g->job.task.task.outcome == POOL_TASK_DONE && g->job.result == 0;
    struct slice left = whole ? send_body(w, g) : (struct slice){0};
    say_end(w, g, g->job.task.task.outcome, left);
    free_guest(w, g);
}

/* Nobody waits for it: what it has still to say is heard, and forgotten. */
static void forget_output(struct weir_request *job)
{
    struct buf unwanted;
    job_take_output(job, &unwanted);
    buf_free(&unwanted);
}

/* --- from its thread --- */

static void run_guest(struct pool_task *task)
{
    struct guest *g = (struct guest *)task; /* its first member's first member */
    uint64_t waits = g->id.tag | SHM_LENT_WAITS;
    if (!atomic_compare_exchange_strong(g->entry, &waits, g->id.tag | SHM_LENT_BEGUN)) {
        g->taken_back = true;
        task->declined = POOL_DECLINED;
        return;
    }
    job_run(task);
}

static void on_output(struct weir_request *job)
{
    pools_notify(&job->notice);
}

static void hear_guest(struct pool_notice *notice)
{
    struct weir_request *job = container_of(notice, struct weir_request, notice);
    struct worker *w = job->ex->worker;
    struct guest *g = (struct guest *)job; /* its first member */
    job_heard(job);
    g->streams = true;
    if (job->orphaned)
        forget_output(job);
    else
        go_on(w, g);
}

static void on_guest_ended(struct worker *w, struct loop_task *task)
{
    struct guest *g = (struct guest *)task; /* its first member's first member */
    w->given_up -= g->job.given_up;
    lending_note_run(w, &g->job);
    g->ended = true;
    g->streams = g->job.streaming;
    list_remove(&g->job.orphan);
    if (g->taken_back) {
        free_guest(w, g);
        return;
    }
    if (g->job.orphaned) {
        say_end(w, g, POOL_TASK_CANCELLED, (struct slice){0});
        free_guest(w, g);
        return;
    }
    go_on(w, g);
}

/* --- in --- */

static void close_heirs(struct http_exchange *ex)
{
    struct http_limits *l = &ex->limits;
    struct permit_user *u = &ex->worker->permits;
    for (; l->held_count > 0; l->held_count--)
        if (!permit_heir_close(u, l->held[l->held_count - 1]))
            permit_release(u, l->held[l->held_count - 1], clock_fast_us(), 0);
}

/* Before it can begin: if its lender dies then, its permits are ours. False: they have gone back, or there is no room. */
static bool open_heirs(struct worker *w, struct guest *g, struct http_exchange *ex, const struct parcel *p)
{
    struct http_limits *l = &ex->limits;
    struct permit_lender lender = {.slot = g->from.slot, .entry = p->id.index, .tag = p->id.tag};
    g->heirs.run = l->let_go = close_heirs;
    http_add_cleanup(ex, &g->heirs);
    for (int i = 0; i < p->permit_count; i++) {
        lender.permit = p->permits[i];
        if (!permit_heir_open(&w->permits, &lender, &l->held[l->held_count]))
            return false;
        l->held_count++;
    }
    return true;
}

/* Of a guest nothing is asked by what serves clients. */
static const struct client_protocol guest_protocol = {0};

static bool take_body(struct http_exchange *ex, const struct parcel *p, int *fd)
{
    struct stat st;
    ex->body.begun = ex->body.whole = true;
    ex->body.len = ex->body.seen = p->body_len;
    if (!p->body_in_file)
        return !p->body.len || spool_append(&ex->body.kept, p->body.data, p->body.len);
    /* It is mapped: what is not there must not be looked at. */
    if (*fd < 0 || fstat(*fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size < p->body_len)
        return false;
    ex->body.kept.fd = *fd;
    ex->body.kept.file_end = p->body_len;
    *fd = -1;
    return true;
}

static void take_place(struct worker *w, struct http_exchange *ex, const struct parcel *p)
{
    const struct location *l = w->lending->locations[p->location];
    ex->req = p->req;
    ex->client = p->client;
    ex->client.protocol = &guest_protocol;
    ex->client.listen = w->site->listens;
    ex->client.listen_address = &ex->client.listen->address;
    ex->client.socket = -1;
    exchange_begin(ex, w);
    ex->request_id = p->request_id;
    ex->route.location = l;
    ex->route.settings = l->settings;
    ex->route.error_files = l->error_files;
    ex->route.server_name = p->server_name;
}

/* The handler of the location, or our own for a question. False: out of memory, or there is none. */
static bool init_job(struct weir_request *job, struct http_exchange *ex, const struct parcel *p)
{
    const struct location *l = ex->route.location;
    if (!p->asks) {
        if (!l->handler || (uint32_t)job_count_variables(l->handler) != p->variable_count)
            return false;
        job_init(job, ex, l->handler, l->handler_settings);
        return true;
    }
    struct auth_question *q = arena_zalloc(&ex->arena, sizeof *q);
    if (!q)
        return false;
    *q = (struct auth_question){p->file, p->user, p->password};
    job_init(job, ex, &auth_basic_handler, q);
    return true;
}

static bool make_job(struct worker *w, struct guest *g, struct http_exchange *ex, const struct parcel *p)
{
    struct weir_request *job = &g->job;
    if (!init_job(job, ex, p))
        return false;
    job->task.ended = on_guest_ended;
    job->task.task.run = run_guest;
    job->task.task.borrowed = 1;
    job->task.task.submitted_us = p->submitted_us;
    job->task.task.priority = POOL_HIGH; /* it has waited longer */
    job->notice.hear = hear_guest;
    job->output = on_output;
    job->running = &w->slot->running;
    job->variables = p->variables;
    job->pool = w->pools[p->pool].pool;
    job->deadline_ms = p->deadline_ms;
    return true;
}

/* A free one, or one that waits for an older request than its own. */
static bool has_thread(struct worker *w, int pool)
{
    return pools_free(w, pool) > 0 || turn_waits_for_elder(w, pool);
}

/* False: the lender is to look for somebody else. */
static bool begin(struct worker *w, struct http_exchange *ex, struct door_message *m, struct parcel_id *id)
{
    struct parcel p = {0};
    bool ok = parcel_unpack(&p, &ex->arena, m->bytes) && p.location < w->lending->location_count &&
              p.pool < (uint32_t)w->pool_count && p.id.index < SHM_LENT;
    *id = p.id;
    ok = ok && take_body(ex, &p, &m->fd);
    struct guest *g = ok ? arena_zalloc(&ex->arena, sizeof *g) : NULL;
    if (!g)
        return false;
    take_place(w, ex, &p);
    g->from = m->from;
    g->id = p.id;
    g->entry = &w->shm->slots[m->from.slot].lent[p.id.index];
    list_init(&g->link);
    if (w->draining || !has_thread(w, (int)p.pool) || !open_heirs(w, g, ex, &p) || !make_job(w, g, ex, &p))
        return false;
    if (pools_submit(w, (int)p.pool, &g->job.task) != POOL_OK) {
        job_release(&g->job);
        return false;
    }
    list_push_back(&w->lending->guests, &g->link);
    turn_elder_came(w, (int)p.pool);
    return true;
}

static void hear_work(struct worker *w, struct door_message *m)
{
    struct http_exchange *ex = exchange_new(w);
    struct parcel_id id = {0};
    w->lending->siblings[m->from.slot].asked_ms = 0;
    if (ex && begin(w, ex, m, &id))
        return;
    struct parcel_end e = {.id = id, .outcome = PARCEL_REFUSED};
    for (int i = 0; i < w->pool_count; i++)
        pools_offer(w, i);
    if (ex)
        exchange_free(w, ex);
    doors_say(w, m->from, DOOR_ENDED, (struct slice){(const char *)&e, sizeof e});
}

/* --- what its lender says --- */

static struct guest *find_guest(struct worker *w, struct sibling from, const struct parcel_id *id)
{
    struct list_node *all = &w->lending->guests;
    for (struct list_node *n = all->next; n != all; n = n->next) {
        struct guest *g = container_of(n, struct guest, link);
        if (sibling_is(g->from, from) && !g->is_lost && g->id.index == id->index && g->id.tag == id->tag)
            return g;
    }
    return NULL;
}

static void hear_taken(struct worker *w, struct door_message *m)
{
    struct parcel_taken t;
    struct guest *g = parcel_take(&m->bytes, &t, sizeof t) ? find_guest(w, m->from, &t.id) : NULL;
    if (!g || g->job.orphaned || t.bytes > g->sent - g->taken)
        return;
    g->taken += t.bytes;
    go_on(w, g);
}

/* Its client has gone, or its time is over. */
static void leave(struct worker *w, struct guest *g, bool gives_up)
{
    struct weir_request *job = &g->job;
    if (g->ended) {
        say_end(w, g, POOL_TASK_CANCELLED, (struct slice){0});
        free_guest(w, g);
        return;
    }
    if (!job->orphaned)
        job_orphan(job);
    forget_output(job);
    if (pool_cancel(job->pool, &job->task.task) || !gives_up || job->given_up)
        return;
    pools_abandon(w, &job->task);
    job->given_up = true;
    w->given_up++;
    close_heirs(job->ex); /* the lender's have gone back */
}

/* It is not here, or no longer: whoever waits for it must not. */
static void say_unknown(struct worker *w, struct sibling from, const struct parcel_leave *l)
{
    struct parcel_end e = {.id = l->id, .outcome = POOL_TASK_CANCELLED};
    if (l->why != PARCEL_TAKEN_BACK)
        doors_say(w, from, DOOR_ENDED, (struct slice){(const char *)&e, sizeof e});
}

/* Its lender has it run by somebody else: it has not begun, and will not. */
static void drop(struct worker *w, struct guest *g)
{
    if (pools_take_back(w, &g->job.task))
        free_guest(w, g);
}

static void hear_leave(struct worker *w, struct door_message *m)
{
    struct parcel_leave l;
    if (!parcel_take(&m->bytes, &l, sizeof l))
        return;
    struct guest *g = find_guest(w, m->from, &l.id);
    if (g && l.why == PARCEL_TAKEN_BACK)
        drop(w, g);
    else if (g)
        leave(w, g, l.why == PARCEL_GIVEN_UP);
    else
        say_unknown(w, m->from, &l);
}

/* It may end in its time, as one whose client has left. */
static void lose_lender(struct worker *w, struct guest *g)
{
    bool ended = g->ended;
    g->is_lost = true;
    if (!ended && !g->job.given_up && list_empty(&g->job.orphan))
        list_push_back(&w->orphans, &g->job.orphan);
    leave(w, g, false);
}

void guest_sibling_ended(struct worker *w, struct sibling dead)
{
    struct list_node *all = w->lending ? &w->lending->guests : NULL, *next;
    for (struct list_node *n = all ? all->next : NULL; n != all; n = next) {
        struct guest *g = container_of(n, struct guest, link);
        next = n->next;
        if (sibling_is(g->from, dead) && !g->is_lost)
            lose_lender(w, g);
    }
}

void guest_look_after(struct worker *w)
{
    struct list_node *all = w->lending ? &w->lending->guests : NULL, *next;
    for (struct list_node *n = all ? all->next : NULL; n != all; n = next) {
        struct guest *g = container_of(n, struct guest, link);
        next = n->next;
        if (!g->is_lost && !lending_is_alive(w, g->from))
            lose_lender(w, g);
    }
}

bool guest_is_there(const struct worker *w)
{
    const struct list_node *all = w->lending ? &w->lending->guests : NULL;
    for (const struct list_node *n = all ? all->next : NULL; n != all; n = n->next) {
        const struct guest *g = container_of(n, struct guest, link);
        if (!g->job.given_up || g->ended)
            return true;
    }
    return false;
}

bool guest_open(struct worker *w)
{
    struct lending *l = w->lending;
    if (!l)
        return true;
    l->location_count = w->site->made ? (uint32_t)w->site->made->number + 1 : 0;
    l->locations = calloc((size_t)l->location_count + 1, sizeof(struct location *));
    for (const struct location *at = w->site->made; l->locations && at; at = at->next_made)
        l->locations[at->number] = at;
    doors_hear(w, DOOR_WORK, hear_work);
    doors_hear(w, DOOR_TAKEN, hear_taken);
    doors_hear(w, DOOR_LEAVE, hear_leave);
    return l->locations != NULL;
}
