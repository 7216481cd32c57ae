/*
 * http/request/filter.h - what a response's body goes through on its way to the client: a chain of filters, for this one.
 *
 * filter_decide looks at the response's head and settings, changes the head where it must (lengths, validators), and makes the
 * chain. Whatever makes the body then goes through filter_stretch, and each filter gives what comes out of it to the next.
 * Ownership: a filter is freed with its response, by filter_free.
 * Threads:   the loop's.
 */
#ifndef WEIR_HTTP_REQUEST_FILTER_H
#define WEIR_HTTP_REQUEST_FILTER_H

#include "http/request/exchange.h"

enum filter_mode {
    FILTER_MORE,
    /* The source has nothing more for now: what can go out is to. */
    FILTER_FLUSH,
    FILTER_END
};

struct body_filter {
    /* Takes a stretch, and gives what comes of it to filter_next. False: out of memory. */
    bool (*pass)(struct http_exchange *ex, struct body_filter *f, struct slice in, enum filter_mode mode);
    void (*free)(struct body_filter *f);
    /* Something has come in that FILTER_FLUSH would bring out. */
    bool pending;
    /* Some of what came in was put off: filter_go_on is to be called before more comes. */
    bool full;
    struct body_filter *next;
};

/* Puts f at the end of the chain. */
void filter_add(struct http_exchange *ex, struct body_filter *f);

/* The body is no longer what it was: its length is not known, nor are its ranges, and its validator is weak. */
void filter_changes_body(struct http_exchange *ex);

/* What has come out of f goes on. */
bool filter_next(struct http_exchange *ex, struct body_filter *f, struct slice out, enum filter_mode mode);

/*
 * With ex->sent.filters: a stretch of the body; what has come so far is to go out; the end, after which there is no chain.
 * False: out of memory.
 */
bool filter_stretch(struct http_exchange *ex, struct slice stretch);
bool filter_flush(struct http_exchange *ex);
bool filter_finish(struct http_exchange *ex);

/* Whether a filter holds something that filter_flush would bring out. */
bool filter_is_pending(const struct http_exchange *ex);

/* Whether a filter has put off some of what came in: filter_go_on comes before any more. */
bool filter_is_full(const struct http_exchange *ex);

/* With filter_is_full: one step of what was put off. False: out of memory. */
bool filter_go_on(struct http_exchange *ex);

/* Frees the chain. */
void filter_free(struct http_exchange *ex);

#endif
