/*
 * conf/set_limit.c - limits of concurrency: zones, and where they apply.
 */
#include "conf/conf.h"
#include "conf/directive.h"

enum {
    NAME_MAX_BYTES = 31,
    LIMIT_MAX = 1000000,
    QUEUE_MAX = 1000000,
    GRADIENT_MIN = 3,
    GRADIENT_MAX = 1000,
    ZONES_MAX = 64
};

static bool parse_percent(struct slice text, int64_t *value)
{
    if (text.len > 0 && text.data[text.len - 1] == '%')
        text.len--;
    return conf_parse_whole(text, 0, 1000, value);
}

static bool parse_duration(struct slice text, int64_t *value_ms)
{
    int64_t ms;
    if (!conf_parse_time(text, &ms) || ms < 1)
        return false;
    *value_ms = ms;
    return true;
}

static bool parse_policy(struct slice text, int *policy)
{
    static const char *const names[] = {"fixed", "codel", "gradient"};
    for (int i = 0; i < 3; i++) {
        if (slice_eq(text, slice_of(names[i]))) {
            *policy = i;
            return true;
        }
    }
    return false;
}

static bool set_parameter(struct conf_zone *z, struct slice key, struct slice value)
{
    static const struct {
        const char *key;
        size_t offset;
        int64_t least, most;
    } numbers[] = {
        {"limit", offsetof(struct conf_zone, limit), 1, LIMIT_MAX},
        {"queue", offsetof(struct conf_zone, queue), 0, QUEUE_MAX},
        {"min", offsetof(struct conf_zone, min), 1, LIMIT_MAX},
        {"max", offsetof(struct conf_zone, max), 1, LIMIT_MAX},
        {"probe_requests", offsetof(struct conf_zone, probe_requests), 1, 10000},
    };
    static const struct {
        const char *key;
        size_t offset;
    } times[] = {
        {"queue_timeout", offsetof(struct conf_zone, queue_timeout_ms)},
        {"target", offsetof(struct conf_zone, target_ms)},
        {"interval", offsetof(struct conf_zone, interval_ms)},
        {"window", offsetof(struct conf_zone, window_ms)},
        {"probe_interval", offsetof(struct conf_zone, probe_interval_ms)},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (slice_eq(key, slice_of(numbers[i].key)))
            return conf_parse_whole(value, numbers[i].least, numbers[i].most,
                                    (int64_t *)(void *)((char *)z + numbers[i].offset));
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        if (slice_eq(key, slice_of(times[i].key)))
            return parse_duration(value, (int64_t *)(void *)((char *)z + times[i].offset));
    if (slice_eq(key, SLICE("policy")))
        return parse_policy(value, &z->policy);
    if (slice_eq(key, SLICE("buffer")))
        return parse_percent(value, &z->buffer_percent);
    return slice_eq(key, SLICE("jitter")) && parse_percent(value, &z->jitter_percent);
}

static void set_parameters(struct conf_walk *w, const struct conf_node *n, struct conf_zone *z)
{
    bool has_limit = false;
    struct slice words[CONF_PARAMETERS_MAX];
    for (int i = conf_default_parameters(w->conf, n->name, w->context, words); i-- > 0;) {
        struct conf_key_value kv = conf_split_parameter(words[i]);
        set_parameter(z, kv.key, kv.value);
    }
    for (const struct conf_key_value *kv = conf_key_values(w, n, 1); kv; kv = kv->next) {
        has_limit |= slice_eq(kv->key, SLICE("limit"));
        if (!set_parameter(z, kv->key, kv->value))
            conf_error(
                &w->conf->errors, n,
                "invalid parameter \"%.*s=%.*s\" in \"limit_concurrency_zone\" directive; write limit=N (1 to %d), "
                "queue=N (0 to %d), queue_timeout=TIME, policy=fixed|codel|gradient, for codel target=TIME and "
                "interval=TIME, for gradient min=N, max=N, window=TIME, probe_interval=TIME, probe_requests=N, "
                "buffer=PERCENT, jitter=PERCENT",
                SLICE_ARGS(kv->key), SLICE_ARGS(kv->value), LIMIT_MAX, QUEUE_MAX);
    }
    if (!has_limit)
        conf_error(&w->conf->errors, n,
                   "\"limit_concurrency_zone\" needs limit=N, the most requests that run at a time");
    if (z->min == CONF_UNSET)
        z->min = z->limit < GRADIENT_MIN ? z->limit : GRADIENT_MIN;
    if (z->max == CONF_UNSET)
        z->max = z->limit > GRADIENT_MAX ? z->limit : GRADIENT_MAX;
    if (z->min > z->max)
        conf_error(&w->conf->errors, n,
                   "min=%lld is above max=%lld in \"limit_concurrency_zone\"; lower min or raise max",
                   (long long)z->min, (long long)z->max);
}

void conf_set_limit_zone(struct conf_walk *w, const struct conf_node *n)
{
    struct conf_zone *z = conf_must(arena_zalloc(&w->conf->arena, sizeof *z)), **tail = &w->conf->http->zones;
    *z = (struct conf_zone){.name = n->args[0], .min = CONF_UNSET, .max = CONF_UNSET, .index = -1, .node = n};
    if (z->name.len > NAME_MAX_BYTES || z->name.len == 0 ||
        strspn(z->name.data, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.") <
            z->name.len)
        conf_error(&w->conf->errors, n,
                   "invalid zone name \"%.*s\"; use 1 to %d letters, digits, \"_\", \"-\", \".\"",
                   SLICE_ARGS(z->name), NAME_MAX_BYTES);
    int count = 0;
    for (; *tail; tail = &(*tail)->next, count++)
        if (slice_eq((*tail)->name, z->name))
            conf_error(&w->conf->errors, n,
                       "duplicate zone \"%.*s\"; the first is in line %d; give it another name",
                       SLICE_ARGS(z->name), (*tail)->node->line);
    if (count == ZONES_MAX)
        conf_error(&w->conf->errors, n, "more than %d \"limit_concurrency_zone\" directives; remove some",
                   ZONES_MAX);
    *tail = z;
    set_parameters(w, n, z);
}
