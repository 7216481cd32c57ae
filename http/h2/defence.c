/*
 * http/h2/defence.c - what a client may have done for it without asking for anything: frames, resets, memory.
 */
#include "http/h2/defence.h"

#include "base/log.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <malloc.h>
#include <stdlib.h>

enum {
    TOKENS = 1000,       /* what an honest client may need at once: a page left, a map dragged about */
    TOKENS_PER_S = 100,  /* come back */
    TOKENS_WARN = 250,   /* fewer: GOAWAY */
    HELD_MAX = 512 << 10 /* bytes: compressed heads' tables, frames that wait to go out */
};

/* --- memory: nghttp2's own, counted by what it really takes --- */

static bool count_in(struct h2_budget *b, void *p)
{
    b->held += p ? malloc_usable_size(p) : 0;
    return p != NULL;
}

static bool has_room(const struct h2_budget *b, size_t bytes)
{
    return bytes <= b->held_max && b->held <= b->held_max - bytes;
}

static void *count_malloc(size_t bytes, void *with)
{
    struct h2_budget *b = with;
    void *p = has_room(b, bytes) ? malloc(bytes) : NULL;
    count_in(b, p);
    return p;
}

static void *count_calloc(size_t count, size_t bytes, void *with)
{
    struct h2_budget *b = with;
    void *p = bytes == 0 || count <= SIZE_MAX / bytes ? calloc(count, bytes) : NULL;
    count_in(b, p);
    return p;
}

static void count_free(void *p, void *with)
{
    struct h2_budget *b = with;
    size_t bytes = p ? malloc_usable_size(p) : 0;
    assert(bytes <= b->held);
    b->held -= bytes;
    free(p);
}

static void *count_realloc(void *old, size_t bytes, void *with)
{
    struct h2_budget *b = with;
    size_t before = old ? malloc_usable_size(old) : 0;
    assert(before <= b->held);
    if (bytes > before && !has_room(b, bytes - before))
        return NULL;
    void *p = realloc(old, bytes);
    if (p)
        b->held -= before;
    count_in(b, p);
    return p;
}

/* --- tokens --- */

void h2_budget_open(struct h2_session *s)
{
    s->budget = (struct h2_budget){
        .refilled_ms = connection_worker(s->c)->now_ms, .tokens = TOKENS, .held_max = HELD_MAX};
    s->memory = (nghttp2_mem){&s->budget, count_malloc, count_free, count_calloc, count_realloc};
}

void h2_end_for(struct h2_session *s, enum shm_http2_close reason)
{
    if (s->has_reason)
        return;
    s->has_reason = true;
    s->reason = (uint8_t)reason;
}

static void refill(struct h2_budget *b, uint64_t now_ms)
{
    uint64_t come = (now_ms - b->refilled_ms) * TOKENS_PER_S / 1000;
    if (come == 0)
        return;
    b->refilled_ms = now_ms;
    b->tokens = come < (uint64_t)(TOKENS - b->tokens) ? b->tokens + (int)come : TOKENS;
}

static void tell(const struct h2_session *s, const char *what)
{
    log_info("*%llu client sent too many frames that ask for nothing; %s", (unsigned long long)s->c->id,
             what);
}

void h2_spend(struct h2_session *s, int tokens)
{
    struct h2_budget *b = &s->budget;
    refill(b, connection_worker(s->c)->now_ms);
    b->tokens -= tokens;
    if (b->tokens <= 0) {
        b->tokens = 0;
        if (!s->is_over)
            tell(s, "closing its connection");
        h2_end_for(s, SHM_HTTP2_FLOOD);
        s->is_over = true;
    } else if (b->tokens <= TOKENS_WARN && s->leave != H2_HAS_SAID) {
        tell(s, "its connection takes no more requests");
        h2_end_for(s, SHM_HTTP2_FLOOD);
        s->leave = H2_HAS_SAID;
        nghttp2_submit_goaway(s->ng, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(s->ng),
                              NGHTTP2_ENHANCE_YOUR_CALM, NULL, 0);
    }
}
