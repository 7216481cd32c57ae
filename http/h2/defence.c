/*
 * http/h2/defence.c - what a client may have done for it without asking for anything: frames, resets.
 */
#include "http/h2/defence.h"

#include "base/log.h"
#include "http/h2/leave.h"
#include "worker/loop/worker_state.h"

enum {
    /* What an honest client may need at once: a page is left, a map is dragged about. */
    TOKENS = 1000,
    TOKENS_PER_S = 100,
    TOKENS_WARN = 250
};

void h2_budget_open(struct h2_session *s)
{
    s->budget = (struct h2_budget){.refilled_ms = connection_worker(s->c)->now_ms, .tokens = TOKENS};
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
