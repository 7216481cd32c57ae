/*
 * conf/settings_limits.h - limits: of concurrency, of connections and of rates by key; zones, and where they apply.
 */
#ifndef WEIR_CONF_SETTINGS_LIMITS_H
#define WEIR_CONF_SETTINGS_LIMITS_H

#include "conf/values.h"

enum conf_policy { CONF_POLICY_FIXED, CONF_POLICY_CODEL, CONF_POLICY_GRADIENT };

/* limit_concurrency_zone NAME limit=N ... */
struct conf_zone {
    struct slice name;
    int64_t limit, queue;
    int64_t queue_timeout_ms;
    int policy;                     /* enum conf_policy */
    int64_t min, max;               /* gradient */
    int64_t target_ms, interval_ms; /* codel */
    int64_t window_ms, probe_interval_ms, probe_requests, buffer_percent, jitter_percent; /* gradient */
    /* In the shared memory; the master sets it before it forks. */
    int index;
    const struct conf_node *node;
    struct conf_zone *next;
};

enum conf_keyed_kind { CONF_KEYED_CONNECTIONS, CONF_KEYED_REQUESTS, CONF_KEYED_SESSIONS };

/* limit_conn_zone KEY zone=NAME:SIZE, limit_req_zone KEY zone=NAME:SIZE rate=RATE, sticky learn ... zone=NAME:SIZE */
struct conf_keyed_zone {
    /* The key of sessions is "": each "sticky" that uses it has its own. */
    struct slice name, key;
    enum conf_keyed_kind kind;
    int64_t bytes;
    int64_t rate; /* thousandths of requests a second */
    /* In the shared memory; the master sets it before it forks. */
    int index;
    const struct conf_node *node;
    struct conf_keyed_zone *next;
};

#endif
