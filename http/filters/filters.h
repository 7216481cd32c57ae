/*
 * http/filters/filters.h - which filters a response's body goes through, and ranges that are cut out of it.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_FILTERS_FILTERS_H
#define WEIR_HTTP_FILTERS_FILTERS_H

#include "http/request/filter.h"

struct feature;

extern const struct feature feature_sub_filter, feature_gzip;

/* The answer's head is complete: what its settings want of the body. */
void filter_decide(struct http_exchange *ex);

/* For filter_decide: each adds itself where it is wanted, in this order. */
void sub_filter_decide(struct http_exchange *ex);
void charset_decide(struct http_exchange *ex);
void gzip_decide(struct http_exchange *ex);

/*
 * http/filters/ranges.c: cuts the ranges that are asked for out of a body that has them, once the filters are decided. Returns 0, or the status
 * of the page that is to be shown instead.
 */
int ranges_cut(struct http_exchange *ex);

/* Memory is given back while nothing happens. */
void gzip_free_spares(void);

#endif
