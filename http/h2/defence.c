/*
 * http/h2/defence.c - what a client may have done for it without asking for anything: frames, resets, memory.
 */
#include "http/h2/defence.h"

#include "base/log.h"
#include "http/h2/leave.h"
#include "worker/loop/worker_state.h"

#include <assert.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>

enum {
    /* What an honest client may need at once: a page is left, a map is dragged about. */
    TOKENS = 1000,
    TOKENS_PER_S = 100,
    TOKENS_WARN = 250,
    /* Tables of compressed heads, frames that wait to go out. */
    HELD_MAX_BYTES = 512 << 10,
    /* The largest that nghttp2 makes. */
    FRAME_BYTES = 16 << 10,
    PAGE_BYTES = 4096,
    FRAME_PAGES_BYTES = FRAME_BYTES + PAGE_BYTES
};

/* --- memory: nghttp2's own, counted by what it really takes --- */

static void count_in(struct h2_budget *b, void *p)
{
    b->held += p ? malloc_usable_size(p) : 0;
}

/*
 * What is beyond the bound ends the connection as soon as nghttp2 has returned. It gets the memory all the same: to 1.52 at least it
 * frees an entry of its queue twice where that cannot grow.
 */
static void look_at_bound(struct h2_budget *b, size_t bytes)
{
    b->is_exceeded |= bytes > b->held_max || b->held > b->held_max - bytes;
}

static void *count_malloc(size_t bytes, void *with)
{
    struct h2_budget *b = with;
    look_at_bound(b, bytes);
    void *p = malloc(bytes);
    count_in(b, p);
    return p;
}

static void *count_calloc(size_t count, size_t bytes, void *with)
{
    struct h2_budget *b = with;
    bool fits = bytes == 0 || count <= SIZE_MAX / bytes;
    size_t all = fits ? count * bytes : 0;
    look_at_bound(b, all);
    void *p = fits ? calloc(1, all ? all : 1) : NULL;
    count_in(b, p);
    return p;
}

static void count_free(void *p, void *with)
{
    struct h2_budget *b = with;
    size_t bytes = p ? malloc_usable_size(p) : 0;
    assert(bytes <= b->held);
    if (p == b->frame)
        b->frame = NULL;
    b->held -= bytes;
    free(p);
}

static void *count_realloc(void *old, size_t bytes, void *with)
{
    struct h2_budget *b = with;
    size_t before = old ? malloc_usable_size(old) : 0;
    /* nghttp2 has one such buffer, for frames that it makes. */
    bool is_frame = !old && !b->frame && bytes >= FRAME_BYTES && bytes <= FRAME_PAGES_BYTES;
    assert(before <= b->held);
    if (bytes > before)
        look_at_bound(b, bytes - before);
    void *p = is_frame ? aligned_alloc(PAGE_BYTES, FRAME_PAGES_BYTES) : realloc(old, bytes ? bytes : 1);
    if (p)
        b->held -= before;
    if (p && (is_frame || old == b->frame))
        b->frame = is_frame ? p : NULL;
    count_in(b, p);
    return p;
}

/* Between frames nobody reads what lies in the buffer for them; of an idle connection's memory that is more than half. */
void h2_budget_trim(struct h2_session *s)
{
    struct h2_budget *b = &s->budget;
    if (!b->frame || b->frame_is_gone || nghttp2_session_want_write(s->ng))
        return;
    b->frame_is_gone = true;
    /* Where pages are larger, nothing comes of it. */
    madvise(b->frame, FRAME_PAGES_BYTES, MADV_DONTNEED);
}

/* --- tokens --- */

void h2_budget_open(struct h2_session *s)
{
    s->budget = (struct h2_budget){
        .refilled_ms = connection_worker(s->c)->now_ms, .tokens = TOKENS, .held_max = HELD_MAX_BYTES};
    s->memory = (nghttp2_mem){&s->budget, count_malloc, count_free, count_calloc, count_realloc};
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
        if (s->is_flooded)
            return;
        tell(s, "closing its connection");
        h2_end_for(s, SHM_HTTP2_FLOOD);
        s->is_flooded = true;
        h2_terminate(s, NGHTTP2_ENHANCE_YOUR_CALM);
    } else if (b->tokens <= TOKENS_WARN && s->leave != H2_HAS_SAID) {
        tell(s, "its connection takes no more requests");
        h2_end_for(s, SHM_HTTP2_FLOOD);
        h2_say_last(s, NGHTTP2_ENHANCE_YOUR_CALM);
    }
}
