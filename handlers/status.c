/*
 * handlers/status.c - adding up the slots, and choosing the form.
 */
#include "handlers/status.h"

#include "http/encoding.h"

#include <stdlib.h>

const char *const status_worker_states[SHM_STATES] = {"free", "starting", "running", "stopping"};

const char *status_worker_state(int state)
{
    return state >= 0 && state < SHM_STATES ? status_worker_states[state] : "unknown";
}

/* A name in shared memory may be anything; one that the configuration has is of such letters. */
static bool is_pool_name(const char *name)
{
    size_t len = strnlen(name, SHM_POOL_NAME_BYTES);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] <= ' ' || (unsigned char)name[i] > '~' || strchr("\"\\<>&{}", name[i]))
            return false;
    return len > 0 && len < SHM_POOL_NAME_BYTES;
}

static struct status_pool *find_pool(struct status_totals *t, const char *name)
{
    for (int i = 0; i < t->pool_count; i++)
        if (strncmp(t->pools[i].name, name, SHM_POOL_NAME_BYTES) == 0)
            return &t->pools[i];
    if (t->pool_count == SHM_POOLS)
        return NULL;
    struct status_pool *p = &t->pools[t->pool_count++];
    memcpy(p->name, name, SHM_POOL_NAME_BYTES);
    return p;
}

static void add_pool(struct status_pool *p, const struct pool_figures *f)
{
    p->min += counter_get(&f->min);
    p->max += counter_get(&f->max);
    p->running += counter_get(&f->running);
    p->idle += counter_get(&f->idle);
    p->stuck += counter_get(&f->stuck);
    p->queued += pool_figures_queued(f);
    p->queue_limit += counter_get(&f->queue_limit);
    p->submitted += counter_get(&f->submitted);
    p->completed += counter_get(&f->completed);
    p->failed += counter_get(&f->failed);
    p->cancelled += counter_get(&f->cancelled);
    p->expired += counter_get(&f->expired);
    p->dropped += counter_get(&f->dropped);
    for (int i = 0; i < POOL_REJECTIONS; i++)
        p->rejected[i] += pool_figures_rejected(f, i);
    p->spawned += counter_get(&f->spawned);
    p->retired += counter_get(&f->retired);
    p->spawn_failures += counter_get(&f->spawn_failures);
    hist_collect(&f->queue_wait, &p->queue_wait);
    hist_collect(&f->run_time, &p->run_time);
}

static void add_slot(struct status_totals *t, const struct shm_slot *slot)
{
    int state = slot->state;
    if (state >= 0 && state < SHM_STATES)
        t->workers[state]++;
    t->connections += counter_get(&slot->connections);
    t->accepted += counter_get(&slot->accepted);
    t->handled += counter_get(&slot->handled);
    for (int i = 0; i < SHM_CONNECTION_STATES; i++)
        t->connection_states[i] += counter_get(&slot->connection_states[i]);
    t->requests += counter_get(&slot->requests);
    t->log_lines_lost += counter_get(&slot->log_lines_lost);
    t->in_flight += counter_get(&slot->in_flight);
    for (int i = 100; i < SHM_CODES; i++) {
        uint64_t n = counter_get(&slot->codes[i]);
        t->codes[i] += n;
        t->classes[i / 100] += n;
    }
    hist_collect(&slot->duration, &t->duration);
    t->memory_allocated_bytes += counter_get(&slot->memory_allocated_bytes);
    t->memory_resident_bytes += counter_get(&slot->memory_resident_bytes);
    for (int i = 0; i < SHM_POOLS; i++) {
        struct status_pool *p = is_pool_name(slot->pools[i].name) ? find_pool(t, slot->pools[i].name) : NULL;
        if (p)
            add_pool(p, (const struct pool_figures *)(const void *)slot->pools[i].figures);
    }
}

static void add_to_generation(struct status_totals *t, const struct shm_slot *slot, uint64_t now_ms)
{
    uint64_t generation = counter_get(&slot->generation), since_ms = counter_get(&slot->stopping_since_ms);
    int i = 0;
    while (i < t->old_count && t->old[i].generation != generation && i < STATUS_GENERATIONS - 1)
        i++;
    if (i == t->old_count)
        t->old[t->old_count++] = (struct status_generation){.generation = generation};
    struct status_generation *g = &t->old[i];
    g->workers++;
    g->connections += counter_get(&slot->connections);
    if (since_ms && now_ms > since_ms + g->age_ms)
        g->age_ms = now_ms - since_ms;
}

/* A slot that no worker ever had is not touched, so that its pages stay unused. */
static void collect(const struct status_source *source, struct status_totals *t)
{
    for (const struct conf_pool *p = source->site_pools; p; p = p->next) {
        char name[SHM_POOL_NAME_BYTES] = "";
        memcpy(name, p->name.data, p->name.len < sizeof name ? p->name.len : sizeof name - 1);
        find_pool(t, name);
    }
    for (int i = 0; i < shm_slots_used(source->shm); i++)
        if (source->shm->slots[i].state != SHM_SLOT_FREE || source->shm->slots[i].generation != 0)
            add_slot(t, &source->shm->slots[i]);
    uint64_t current = counter_get(&source->shm->head->generation);
    for (int i = 0; i < SHM_SLOTS; i++)
        if (source->shm->slots[i].state != SHM_SLOT_FREE &&
            counter_get(&source->shm->slots[i].generation) < current)
            add_to_generation(t, &source->shm->slots[i], source->now_ms);
    t->workers[SHM_SLOT_FREE] = 0;
    t->log_lines_lost += counter_get(&source->shm->head->log_lines_lost);
}

enum form { FORM_HTML, FORM_JSON, FORM_PROMETHEUS, FORM_OPENMETRICS };

static const struct {
    const char *name, *accept, *type;
} forms[] = {
    {"html", "text/html", "text/html; charset=utf-8"},
    {"json", "application/json", "application/json"},
    {"prometheus", "text/plain", "text/plain; version=0.0.4; charset=utf-8"},
    {"openmetrics", "application/openmetrics-text",
     "application/openmetrics-text; version=1.0.0; charset=utf-8"},
};

/* The weight of a media range in thousandths: of the parameters behind it; one that is malformed wants nothing. */
static int weight(struct slice parameters)
{
    while (parameters.len) {
        const char *semicolon = memchr(parameters.data, ';', parameters.len);
        size_t n = semicolon ? (size_t)(semicolon - parameters.data) : parameters.len;
        struct slice one = slice_trim((struct slice){parameters.data, n});
        parameters = slice_from(parameters, n + (semicolon != NULL));
        if (one.len < 2 || (one.data[0] | 0x20) != 'q' || one.data[1] != '=')
            continue;
        int found = http_weight(one);
        return found > 0 ? found : 0;
    }
    return 1000;
}

/* What one line wants most, where it wants it more than those before. */
static void read_accept(struct slice list, enum form *best, int *best_weight)
{
    struct slice range;
    while (slice_next_in_list(&list, &range)) {
        const char *semicolon = memchr(range.data, ';', range.len);
        size_t n = semicolon ? (size_t)(semicolon - range.data) : range.len;
        struct slice type = slice_trim((struct slice){range.data, n});
        int w = semicolon ? weight(slice_from(range, n + 1)) : 1000;
        for (int f = FORM_HTML; f <= FORM_OPENMETRICS; f++) {
            if (w > *best_weight && slice_eq_nocase(type, slice_of(forms[f].accept))) {
                *best = (enum form)f;
                *best_weight = w;
            }
        }
        if (w > *best_weight && slice_eq(type, SLICE("*/*"))) {
            *best = FORM_JSON;
            *best_weight = w;
        }
    }
}

/* JSON for a bare client, such as a script. */
static enum form form_by_accept(const struct http_exchange *ex)
{
    enum form best = FORM_HTML;
    int best_weight = 0;
    for (int i = 0; i < ex->req.header_count; i++)
        if (slice_eq_nocase(ex->req.headers[i].name, SLICE("Accept")))
            read_accept(ex->req.headers[i].value, &best, &best_weight);
    return best_weight ? best : FORM_JSON;
}

static int form_by_argument(struct slice name)
{
    for (int f = FORM_HTML; f <= FORM_OPENMETRICS; f++)
        if (slice_eq(name, slice_of(forms[f].name)))
            return f;
    return -1;
}

static int answer(struct http_exchange *ex, struct buf *text, bool ok, const char *type)
{
    struct slice body = ok ? arena_dup(&ex->arena, buf_slice(text)) : (struct slice){0};
    buf_free(text);
    if (!body.data)
        return 500;
    ex->res.status = 200;
    ex->res.content_type = slice_of(type);
    return http_add_header(&ex->res, &ex->arena, SLICE("Cache-Control"), SLICE("no-store")) &&
                   http_add_memory(&ex->res, &ex->arena, body.data, body.len)
               ? 0
               : 500;
}

int status_answer(struct http_exchange *ex, const struct status_source *source)
{
    struct slice asked = http_find_arg(ex->req.args, SLICE("format"));
    int form = asked.data ? form_by_argument(asked) : (int)form_by_accept(ex);
    if (ex->req.method != HTTP_GET && ex->req.method != HTTP_HEAD)
        return 405;
    struct status_totals *t = form < 0 ? NULL : calloc(1, sizeof *t);
    if (!t)
        return form < 0 ? 400 : 500;
    struct buf text = {0};
    collect(source, t);
    bool ok = form == FORM_JSON
                  ? status_write_json(&text, source, t,
                                      slice_eq(http_find_arg(ex->req.args, SLICE("in_flight")), SLICE("1")))
              : form == FORM_HTML ? status_write_html(&text, source, t)
                                  : status_write_prometheus(&text, source, t, form == FORM_OPENMETRICS);
    free(t);
    return answer(ex, &text, ok, forms[form].type);
}

int status_answer_stub(struct http_exchange *ex, const struct status_source *source)
{
    struct status_totals *t = calloc(1, sizeof *t);
    struct buf text = {0};
    if (!t)
        return 500;
    collect(source, t);
    bool ok = buf_printf(&text,
                         "Active connections: %llu \nserver accepts handled requests\n %llu %llu %llu \n"
                         "Reading: %llu Writing: %llu Waiting: %llu \n",
                         (unsigned long long)t->connections, (unsigned long long)t->accepted,
                         (unsigned long long)t->handled, (unsigned long long)(t->requests + t->in_flight),
                         (unsigned long long)t->connection_states[SHM_CONNECTION_READING],
                         (unsigned long long)t->connection_states[SHM_CONNECTION_WRITING],
                         (unsigned long long)t->connection_states[SHM_CONNECTION_WAITING]);
    free(t);
    return answer(ex, &text, ok, "text/plain");
}
