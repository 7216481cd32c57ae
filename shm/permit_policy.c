/*
 * shm/permit_policy.c - limits that follow what is measured.
 *
 * gradient: Envoy's adaptive concurrency ("Adaptive Concurrency" in its documentation of HTTP filters; the idea is of
 * Netflix's concurrency-limits). The median time of each window is compared with the smallest one known:
 *
 *     g = clamp((min_rtt + buffer) / sample_rtt, 0.5, 2)      limit' = clamp(g * limit + sqrt(g * limit), min, max)
 *
 * Requests that have not ended count with their age where that is above the median of those that have.
 *
 * It grows only while at least half of it is in use (as in Netflix's gradient limit).
 *
 * The smallest time is measured anew every probe_interval (stretched by a random part of the jitter, so that many servers
 * do not probe together), with the limit held at `min` for probe_requests requests; and at once where the limit has been
 * at `min` for some windows, as then the old measure is the likeliest error.
 */
#include "shm/permit_internal.h"

#include <assert.h>
#include <math.h>

enum {
    BUCKETS_PER_OCTAVE = 8,
    FIRST_BUCKET_US = 16,
    WINDOWS_AT_MIN = 5 /* before a probe */
};

static unsigned rtt_bucket(uint64_t us)
{
    double octaves = us > FIRST_BUCKET_US ? log2((double)us / FIRST_BUCKET_US) : 0;
    unsigned bucket = (unsigned)(octaves * BUCKETS_PER_OCTAVE);
    return bucket < GRADIENT_BUCKETS ? bucket : GRADIENT_BUCKETS - 1;
}

/* Interpolated within its bucket. There are samples. */
static double median_us(const struct gradient *g)
{
    double half = (double)g->samples / 2, before = 0;
    unsigned i = 0;
    while (i < GRADIENT_BUCKETS - 1 && before + g->counts[i] < half)
        before += g->counts[i++];
    double within = g->counts[i] ? (half - before) / g->counts[i] : 0;
    /* The counts are shared memory's, and may not add up. */
    within = within < 0 ? 0 : within > 1 ? 1 : within;
    return FIRST_BUCKET_US * exp2((i + within) / BUCKETS_PER_OCTAVE);
}

static void forget_samples(struct gradient *g, uint64_t now_us, uint64_t window_end_us)
{
    g->since_us = now_us;
    g->samples = g->peak = 0;
    g->window_end_us = window_end_us;
    for (int i = 0; i < GRADIENT_BUCKETS; i++)
        g->counts[i] = 0;
}

/* A window is no shorter than a request, or the limit would change many times before any effect is seen. */
static uint64_t next_window_end(const struct permit_zone *z, uint64_t now_us)
{
    uint64_t rtt_us = z->gradient.min_rtt_us;
    return now_us + (rtt_us > z->rules.window_us ? rtt_us : z->rules.window_us);
}

static void use_limit(struct permit_zone *z, double limit)
{
    const struct permit_rules *rules = &z->rules;
    limit = !(limit >= rules->min) ? rules->min
            : limit > rules->max   ? rules->max
                                   : limit; /* not a number: min */
    z->gradient.exact_limit = limit;
    permit_set(&z->limit, (uint32_t)limit);
}

static void begin_probe(struct permit_zone *z, uint64_t now_us)
{
    struct gradient *g = &z->gradient;
    g->probing = true;

    g->at_min = 0;
    forget_samples(g, now_us, 0);
    permit_set(&z->limit, z->rules.min);
}

/* The generator of Marsaglia, "Xorshift RNGs", 2003. */
static double random_part(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (double)(*state >> 11) / (double)(1ull << 53);
}

static void end_probe(struct permit_zone *z, uint64_t now_us)
{
    struct gradient *g = &z->gradient;
    double stretch = 1 + random_part(&g->random) * z->rules.jitter_percent / 100;
    g->min_rtt_us = (uint64_t)median_us(g);
    g->probing = false;
    g->probe_at_us = now_us + (uint64_t)((double)z->rules.probe_interval_us * stretch);
    forget_samples(g, now_us, next_window_end(z, now_us));
    use_limit(z, g->exact_limit);
}

/*
 * Those that are under way still and have been for longer than half of the finished ones took: a service that does not serve in
 * order has its slow ones there, and what ends within a window are the quick ones. How long they will take nobody knows: at least
 * their age.
 */
static void count_unfinished(const struct shm *shm, unsigned zone, uint64_t now_us)
{
    struct gradient *g = &shm->permits->zones[zone].gradient;
    double half_us = median_us(g);
    for (int place = 0; (place = permit_next_place(shm, place)) >= 0; place++) {
        const struct permit_part *part = &shm->permits->parts[place];
        for (uint32_t i = 0, used = permit_part_used(part); i < used; i++) {
            const struct permit *p = &part->permits[i];
            uint32_t tag = atomic_load_explicit(&p->tag, memory_order_acquire);
            uint64_t age_us = now_us > p->since_us ? now_us - p->since_us : 0;
            if (!permit_tag_is_held(tag) || tag & PERMIT_SERVED || permit_tag_zone(tag) != zone ||
                (double)age_us <= half_us)
                continue;
            g->counts[rtt_bucket(age_us)]++;
            g->samples++;
        }
    }
}

static void end_window(const struct shm *shm, unsigned zone, uint64_t now_us)
{
    struct permit_zone *z = &shm->permits->zones[zone];
    struct gradient *g = &z->gradient;
    count_unfinished(shm, zone, now_us);
    double sample_us = median_us(g);
    double tolerated_us = (double)g->min_rtt_us * (1 + z->rules.buffer_percent / 100.0);
    double ratio = tolerated_us / sample_us;
    ratio = ratio < 0.5 ? 0.5 : ratio > 2 ? 2 : ratio;
    /* The service has become faster since it was measured. */
    if (sample_us < (double)g->min_rtt_us)
        g->min_rtt_us = (uint64_t)sample_us;
    double limit = ratio * g->exact_limit + sqrt(ratio * g->exact_limit);
    /* A limit that is not used is no proof that a higher one would do. */
    if (limit < g->exact_limit || g->peak >= permit_get(&z->limit) / 2)
        use_limit(z, limit);
    forget_samples(g, now_us, next_window_end(z, now_us));
    g->at_min = permit_get(&z->limit) == z->rules.min ? g->at_min + 1 : 0;
    if (g->at_min >= WINDOWS_AT_MIN || now_us >= g->probe_at_us)
        begin_probe(z, now_us);
}

void permit_policy_begin(struct permit_zone *z, uint64_t now_us)
{
    assert(shm_lock_is_held(&z->lock));
    z->codel = (struct codel){0};
    if (z->rules.policy != PERMIT_GRADIENT) {
        permit_set(&z->limit, z->rules.limit);
        return;
    }
    z->gradient = (struct gradient){.random = now_us | 1};
    use_limit(z, z->rules.limit);
    begin_probe(z, now_us);
}

void permit_policy_sample(const struct shm *shm, unsigned zone, uint64_t now_us, uint64_t since_us,
                          uint64_t rtt_us)
{
    struct permit_zone *z = &shm->permits->zones[zone];
    struct gradient *g = &z->gradient;
    assert(shm_lock_is_held(&z->lock));
    if (z->rules.policy != PERMIT_GRADIENT || since_us < g->since_us)
        return;
    g->counts[rtt_bucket(rtt_us)]++;
    g->samples++;
    if (g->probing && g->samples >= z->rules.probe_requests)
        end_probe(z, now_us);
    else if (!g->probing && now_us >= g->window_end_us)
        end_window(shm, zone, now_us);
}
