/*
 * http/request/pace.c - limit_rate: how much of a response's body may go out by now.
 */
#include "http/request/pace.h"

enum { STEP_MS = 100 /* what goes at a time */ };

uint64_t pace_allows(struct http_exchange *ex, int64_t *wait_ms)
{
    if (ex->pace.rate == 0)
        return UINT64_MAX;
    uint64_t now_ms = *ex->now_ms, step = ex->pace.rate * STEP_MS / 1000;
    if (ex->pace.from_ms == 0)
        ex->pace.from_ms = now_ms;
    step = step ? step : 1;
    uint64_t allowed = ex->pace.after + (now_ms - ex->pace.from_ms) * ex->pace.rate / 1000 + step;
    if (allowed > ex->sent.body)
        return allowed - ex->sent.body;
    *wait_ms = (int64_t)((ex->sent.body - allowed + step) * 1000 / ex->pace.rate + 1);
    return 0;
}
