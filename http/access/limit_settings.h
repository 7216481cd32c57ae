/*
 * http/access/limit_settings.h - limit_concurrency as it is configured, and the permits that requests of a location need.
 */
#ifndef WEIR_HTTP_ACCESS_LIMIT_SETTINGS_H
#define WEIR_HTTP_ACCESS_LIMIT_SETTINGS_H

#include "base/log.h"
#include "conf/settings.h"
#include "http/request/exchange.h"
#include "http/site/feature.h"
#include "shm/permit.h"

enum { LIMITS_MAX = HTTP_PERMITS_MAX /* zones of one location */ };

extern const struct feature feature_limit_concurrency;

/* The words of directives for levels of the log, and the levels. */
extern const int limit_levels[];
#define LIMIT_LEVELS .words = WORDS("info", "notice", "warn", "error"), .values = limit_levels

struct concurrency_settings {
    struct limit_line *zones; /* http/access/limit_settings.c */
    int status;
    bool dry_run;
    enum log_level log_level;
};
SETTINGS_PART(concurrency_settings)

/* A permit that requests need. */
struct location_limit {
    const struct conf_zone *zone;
    enum permit_priority priority;
    const struct http_template *priority_text; /* says it for each request, or NULL */
};

/* Of a location: by name of their zones, in the same order everywhere, so that none waits in a ring. */
struct location_limits {
    struct location_limit *items;
    int count;
};
LOCATION_PART(location_limits)

#endif
