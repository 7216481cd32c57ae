/*
 * http/access/limit.h - limits of concurrency on the way of a request.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_ACCESS_LIMIT_H
#define WEIR_HTTP_ACCESS_LIMIT_H

#include "http/request/exchange.h"

struct location;
struct worker;

bool limit_open(struct worker *w);

/* Whether requests of this location need a permit. */
bool limit_is_set(const struct location *l);

/* VERDICT_WAIT: for a permit. */
struct verdict limit_pass(struct http_exchange *ex);

/* The least number of permits that is free in a zone of the request's location. False: there is none. */
bool limit_count_free(const struct http_exchange *ex, unsigned *count);

/* Goes on with requests whose permit has come, and answers those whose wait was ended. */
void limit_settle(struct worker *w);
void limit_client_gone(struct http_exchange *ex);

/* The worker stops: who waits is told so. */
void limit_refuse_waiting(struct worker *w);

/* Logs how many refusals were not logged. */
void limit_log_silent(struct worker *w);

#endif
