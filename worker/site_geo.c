/*
 * worker/site_geo.c - variables by address (geo) and by share (split_clients).
 */
#include "worker/core.h"

#include <netinet/in.h>
#include <stdlib.h>

static void define(struct site *site, const struct conf_node *n, struct slice text,
                   struct slice (*get)(struct http_exchange *ex, const void *data), const void *data)
{
    struct slice name = site_variable_name(text), rest;
    struct http_user_variable *v = site_array(site, 1, sizeof *v);
    if (name.len == 0 || http_find_variable(name, &rest))
        conf_error(&site->conf->errors, n,
                   "invalid variable name \"%.*s\" in \"%.*s\"; write $NAME, one that is not there yet",
                   SLICE_ARGS(text), SLICE_ARGS(n->name));
    *v = (struct http_user_variable){name, get, data, site->scope.variables};
    site->scope.variables = v;
}

/* --- geo --- */

struct geo_entry {
    struct net_mask mask;
    struct slice value;
};

struct geo {
    const struct http_template *source; /* NULL: the client's address */
    struct geo_entry *entries;          /* by address family, length of the prefix, and address */
    int count;
    struct slice otherwise;
};

static int compare_entries(const void *a, const void *b)
{
    const struct net_mask *x = &((const struct geo_entry *)a)->mask,
                          *y = &((const struct geo_entry *)b)->mask;
    if (x->len != y->len)
        return x->len - y->len;
    if (x->bits != y->bits)
        return y->bits - x->bits; /* the longest first */
    return memcmp(x->bytes, y->bytes, sizeof x->bytes);
}

/* Behind the entries of the same prefix length from `start` on. */
static int end_of_length(const struct geo *g, int start)
{
    const struct net_mask *first = &g->entries[start].mask;
    int low = start, high = g->count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        const struct net_mask *m = &g->entries[middle].mask;
        if (m->len == first->len && m->bits == first->bits)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* One binary search for each length of prefix that there is. */
static const struct geo_entry *find(const struct geo *g, const unsigned char *address, int len)
{
    for (int start = 0, end; start < g->count; start = end) {
        struct geo_entry wanted = {.mask = {.len = len, .bits = g->entries[start].mask.bits}};
        end = end_of_length(g, start);
        if (g->entries[start].mask.len != len)
            continue;
        memcpy(wanted.mask.bytes, address, (size_t)len);
        for (int bit = wanted.mask.bits; bit < len * 8; bit++)
            wanted.mask.bytes[bit / 8] &= (unsigned char)~(0x80 >> bit % 8);
        const struct geo_entry *e =
            bsearch(&wanted, &g->entries[start], (size_t)(end - start), sizeof *g->entries, compare_entries);
        if (e)
            return e;
    }
    return NULL;
}

static struct slice get_geo(struct http_exchange *ex, const void *data)
{
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    const struct geo *g = data;
    const unsigned char *address = ex->remote;
    int len = ex->remote_len;
    struct net_mask given;
    if (g->source) {
        if (!net_mask_parse(http_template_expand(g->source, ex), &given))
            return g->otherwise;
        address = given.bytes;
        len = given.len;
    }
    if (len == 16 && memcmp(address, mapped, sizeof mapped) == 0) {
        address += sizeof mapped;
        len = 4;
    }
    const struct geo_entry *e = len ? find(g, address, len) : NULL;
    return e ? e->value : g->otherwise;
}

static void add_geo_line(struct site *site, struct geo *g, const struct conf_node *line)
{
    struct geo_entry *e = &g->entries[g->count];
    if (line->nargs != 1 || line->has_block)
        conf_error(&site->conf->errors, line,
                   "invalid line in \"geo\"; write: NETWORK VALUE; or default VALUE;");
    else if (slice_eq(line->name, SLICE("default")))
        g->otherwise = line->args[0];
    else if (!net_mask_parse(line->name, &e->mask))
        conf_error(&site->conf->errors, line,
                   "invalid network \"%.*s\" in \"geo\"; write ADDRESS or ADDRESS/BITS",
                   SLICE_ARGS(line->name));
    else {
        e->value = line->args[0];
        g->count++;
    }
}

static void build_geo(struct site *site, const struct conf_node *n)
{
    struct geo *g = site_array(site, 1, sizeof *g);
    int count = 0;
    for (const struct conf_node *line = n->children; line; line = line->next)
        count++;
    g->otherwise = SLICE("");
    g->entries = site_array(site, count, sizeof *g->entries);
    for (const struct conf_node *line = n->children; line; line = line->next)
        add_geo_line(site, g, line);
    qsort(g->entries, (size_t)g->count, sizeof *g->entries, compare_entries);
    if (n->nargs == 2)
        g->source = site_compile(site, n->args[0], n);
    define(site, n, n->args[n->nargs - 1], get_geo, g);
}

/* --- split_clients --- */

struct share {
    uint32_t below; /* of the hash; UINT32_MAX with `rest`: all that is left */
    struct slice value;
    bool rest;
};

struct split {
    const struct http_template *source;
    struct share *shares;
    int count;
};

/* MurmurHash2 (A. Appleby, public domain), with seed 0 as nginx has it: the same clients get the same share. */
static uint32_t murmur2(struct slice s)
{
    const uint32_t m = 0x5bd1e995;
    const unsigned char *data = (const unsigned char *)s.data;
    uint32_t h = (uint32_t)s.len;
    size_t len = s.len;
    for (; len >= 4; data += 4, len -= 4) {
        uint32_t k =
            (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24;
        k *= m;
        k ^= k >> 24;
        k *= m;
        h *= m;
        h ^= k;
    }
    for (size_t i = len; i > 0; i--)
        h ^= (uint32_t)data[i - 1] << 8 * (i - 1);
    if (len)
        h *= m;
    h ^= h >> 13;
    h *= m;
    return h ^ h >> 15;
}

static struct slice get_split(struct http_exchange *ex, const void *data)
{
    const struct split *s = data;
    uint32_t hash = murmur2(http_template_expand(s->source, ex));
    for (int i = 0; i < s->count; i++)
        if (s->shares[i].rest || hash < s->shares[i].below)
            return s->shares[i].value;
    return SLICE("");
}

/* "12.5%" in hundredths of a percent. */
static bool parse_percent(struct slice text, unsigned *hundredths)
{
    unsigned long long whole, part = 0;
    if (text.len < 2 || text.data[text.len - 1] != '%')
        return false;
    text.len--;
    const char *dot = memchr(text.data, '.', text.len);
    size_t n = dot ? (size_t)(dot - text.data) : text.len;
    struct slice digits = dot ? slice_from(text, n + 1) : SLICE("");
    if (!slice_to_u64((struct slice){text.data, n}, 100, &whole) || digits.len > 2 ||
        (digits.len && !slice_to_u64(digits, 99, &part)))
        return false;
    *hundredths = (unsigned)(whole * 100 + (digits.len == 1 ? part * 10 : part));
    return *hundredths > 0;
}

static void build_split(struct site *site, const struct conf_node *n)
{
    struct split *s = site_array(site, 1, sizeof *s);
    unsigned total = 0, share;
    int count = 0;
    for (const struct conf_node *line = n->children; line; line = line->next)
        count++;
    s->shares = site_array(site, count, sizeof *s->shares);
    s->source = site_compile(site, n->args[0], n);
    for (const struct conf_node *line = n->children; line; line = line->next) {
        bool rest = slice_eq(line->name, SLICE("*"));
        bool ok = line->nargs == 1 && (rest || parse_percent(line->name, &share));
        if (ok && !rest)
            ok = (total += share) <= 10000;
        if (!ok) {
            conf_error(&site->conf->errors, line,
                       "invalid line in \"split_clients\"; write: PERCENT%% VALUE; in all at most "
                       "100%%, or * VALUE;");
            continue;
        }
        s->shares[s->count++] = (struct share){(uint32_t)((uint64_t)UINT32_MAX * total / 10000),
                                               line->args[0], rest || total == 10000};
    }
    define(site, n, n->args[1], get_split, s);
}

void site_build_geo(struct site *site)
{
    if (!site->conf->http)
        return;
    for (const struct conf_lines *l = site->conf->http->settings.geos; l; l = l->next)
        build_geo(site, l->node);
    for (const struct conf_lines *l = site->conf->http->settings.splits; l; l = l->next)
        build_split(site, l->node);
}
