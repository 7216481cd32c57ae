/*
 * http/site/geo.c - variables by address (geo) and by share (split_clients).
 */
#include "http/site/geo.h"

#include "conf/rows.h"
#include "http/site/feature.h"
#include "http/site/site.h"

#include "base/slice.h"
#include "conf/directive.h"
#include "conf/tree.h"
#include "http/request/template.h"
#include "http/site/build.h"
#include "http/site/trusted.h"
#include "net/address.h"

#include <netinet/in.h>
#include <stdlib.h>

static void define(struct site *site, const struct conf_node *n, struct slice text,
                   struct slice (*get)(struct http_exchange *ex, const void *data), const void *data)
{
    struct slice name = site_variable_name(text);
    struct http_user_variable *v = site_array(site, 1, sizeof *v);
    if (name.len == 0 || site_is_taken(site, name))
        conf_error(&site->conf->errors, n,
                   "invalid variable name \"%.*s\" in \"%.*s\"; write $NAME, one that is not there yet",
                   SLICE_ARGS(text), SLICE_ARGS(n->name));
    *v = (struct http_user_variable){name, get, data, site->scope.variables};
    site->scope.variables = v;
}

/* --- geo --- */

struct geo_settings {
    struct conf_lines *geos, *splits;
};

struct part geo_settings_part = {.size = sizeof(struct geo_settings)};
SETTINGS_PART(geo_settings)

struct geo_entry {
    struct net_mask mask;
    struct slice value;
    /* Of two for the same network the later counts. */
    int line;
    bool deleted;
};

struct geo {
    const struct http_template *source; /* NULL: the client's address */
    struct realip proxies;              /* whose X-Forwarded-For is believed */
    bool ranges;                        /* lines are for ranges of addresses */
    int room;                           /* for entries, while they are read */
    /* By address family, length of the prefix, and address. */
    struct geo_entry *entries;
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

/* The same network: the last line comes first. */
static int compare_lines(const void *a, const void *b)
{
    const struct geo_entry *x = a, *y = b;
    int order = compare_entries(a, b);
    return order ? order : y->line - x->line;
}

/* One entry for each network, and none for those that are deleted. */
static void keep_last_lines(struct geo *g)
{
    int kept = 0;
    for (int i = 0; i < g->count; i++) {
        if (i > 0 && compare_entries(&g->entries[i], &g->entries[i - 1]) == 0)
            g->entries[i].line = -1; /* an earlier line for what comes before */
    }
    for (int i = 0; i < g->count; i++)
        if (g->entries[i].line >= 0 && !g->entries[i].deleted)
            g->entries[kept++] = g->entries[i];
    g->count = kept;
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
    static const unsigned char nobody[4] = {0xff, 0xff, 0xff, 0xff};
    const struct geo *g = data;
    unsigned char forwarded[18];
    const unsigned char *address = ex->client.remote;
    int len = ex->client.remote_len;
    struct net_mask given;
    if (g->source) {
        bool is_one =
            net_mask_parse(http_template_expand(g->source, ex), &given) && given.bits == 8 * given.len;
        address = given.bytes;
        len = is_one ? given.len : 0;
    }
    if (g->proxies.mask_count && trusted_find(&g->proxies, ex, address, &len, forwarded))
        address = forwarded;
    /* No address of IP: as in nginx 255.255.255.255 stands for it, a unix socket among others. */
    if (len == 0) {
        address = nobody;
        len = 4;
    }
    if (len == 16 && memcmp(address, mapped, sizeof mapped) == 0) {
        address += sizeof mapped;
        len = 4;
    }
    const struct geo_entry *e = find(g, address, len);
    return e ? e->value : g->otherwise;
}

static void add_entry(struct geo *g, struct geo_entry e)
{
    if (g->count == g->room) {
        g->room = g->room ? 2 * g->room : 64;
        g->entries = realloc(g->entries, (size_t)g->room * sizeof *g->entries);
        if (!g->entries)
            /* Out of memory while reading a configuration. */
            abort();
    }
    g->entries[g->count++] = e;
}

/* "10.0.0.1-10.0.3.255", as the networks that it is made of. */
static bool add_range(struct geo *g, struct slice text, struct geo_entry e)
{
    struct net_mask first, last;
    const char *dash = memchr(text.data, '-', text.len);
    size_t n = dash ? (size_t)(dash - text.data) : text.len;
    if (!dash || !net_mask_parse((struct slice){text.data, n}, &first) ||
        !net_mask_parse(slice_from(text, n + 1), &last) || first.len != 4 || last.len != 4)
        return false;
    uint64_t from = ntohl(*(const uint32_t *)(const void *)first.bytes),
             to = ntohl(*(const uint32_t *)(const void *)last.bytes);
    if (from > to)
        return false;
    while (from <= to) {
        int bits = 32;
        while (bits > 0 && (from & ((uint64_t)1 << (32 - bits))) == 0 &&
               from + ((uint64_t)2 << (32 - bits)) - 1 <= to)
            bits--;
        uint32_t network = htonl((uint32_t)from);
        e.mask = (struct net_mask){.len = 4, .bits = bits};
        memcpy(e.mask.bytes, &network, 4);
        add_entry(g, e);
        from += (uint64_t)1 << (32 - bits);
    }
    return true;
}

static void add_proxy(struct site *site, struct geo *g, const struct conf_node *line)
{
    struct net_mask *masks = site_array(site, g->proxies.mask_count + 1, sizeof *masks);
    if (g->proxies.mask_count)
        memcpy(masks, g->proxies.masks, (size_t)g->proxies.mask_count * sizeof *masks);
    g->proxies.masks = masks;
    if (net_mask_parse(line->args[0], &masks[g->proxies.mask_count]))
        g->proxies.mask_count++;
    else
        conf_error(&site->conf->errors, line,
                   "invalid network \"%.*s\" in \"geo\"; write ADDRESS or ADDRESS/BITS",
                   SLICE_ARGS(line->args[0]));
}

/* ranges; proxy_recursive; */
static bool take_flag(struct geo *g, const struct conf_node *line)
{
    bool ranges = slice_eq(line->name, SLICE("ranges")),
         recursive = slice_eq(line->name, SLICE("proxy_recursive"));
    g->ranges |= ranges;
    g->proxies.recursive |= recursive;
    return line->nargs == 0 && (ranges || recursive);
}

static void add_geo_line(struct site *site, struct geo *g, const struct conf_node *line, int number)
{
    struct geo_entry e = {.line = number};
    if (take_flag(g, line))
        return;
    if (line->nargs != 1 || line->has_block) {
        conf_error(
            &site->conf->errors, line,
            "invalid line in \"geo\"; write: NETWORK VALUE; default VALUE; delete NETWORK; proxy NETWORK; "
            "proxy_recursive; or ranges;");
        return;
    }
    e.deleted = slice_eq(line->name, SLICE("delete"));
    struct slice network = e.deleted ? line->args[0] : line->name;
    e.value = line->args[0];
    if (slice_eq(line->name, SLICE("default")))
        g->otherwise = line->args[0];
    else if (slice_eq(line->name, SLICE("proxy")))
        add_proxy(site, g, line);
    else if (g->ranges ? !add_range(g, network, e) : !net_mask_parse(network, &e.mask))
        conf_error(&site->conf->errors, line, "invalid network \"%.*s\" in \"geo\"; write %s",
                   SLICE_ARGS(network),
                   g->ranges ? "FIRST-LAST, two addresses of IPv4" : "ADDRESS or ADDRESS/BITS");
    else if (!g->ranges)
        add_entry(g, e);
}

static void build_geo(struct site *site, const struct conf_node *n)
{
    struct geo *g = site_array(site, 1, sizeof *g);
    int number = 0;
    g->otherwise = SLICE("");
    g->proxies.header = SLICE("X-Forwarded-For");
    for (const struct conf_node *line = n->children; line; line = line->next)
        add_geo_line(site, g, line, number++);
    if (g->count)
        qsort(g->entries, (size_t)g->count, sizeof *g->entries, compare_lines);
    keep_last_lines(g);
    struct geo_entry *kept = site_array(site, g->count, sizeof *kept);
    if (g->count)
        memcpy(kept, g->entries, (size_t)g->count * sizeof *kept);
    free(g->entries);
    g->entries = kept;
    if (n->nargs == 2)
        g->source = site_compile(site, n->args[0], n);
    define(site, n, n->args[n->nargs - 1], get_geo, g);
}

/* --- split_clients --- */

struct share {
    /* Of the hash; UINT32_MAX with `rest`: all that is left. */
    uint32_t below;
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
        bool is_after_rest = s->count && s->shares[s->count - 1].rest && total < 10000;
        bool ok = line->nargs == 1 && (rest || (!is_after_rest && parse_percent(line->name, &share)));
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

static void name_variables(struct site *site)
{
    if (!site->conf->http)
        return;
    for (const struct conf_lines *l = geo_settings_of(&site->conf->http->settings)->geos; l; l = l->next)
        build_geo(site, l->node);
    for (const struct conf_lines *l = geo_settings_of(&site->conf->http->settings)->splits; l; l = l->next)
        build_split(site, l->node);
}

#define PART(member) CONF_PART_FIELD(geo_settings, member)

static const struct conf_directive rows[] = {
    // clang-format off
    {.name = "geo", .where = CONF_HTTP, .args = {1, 2}, .type = CONF_LINES, .field = PART(geos), .block = true,
     .syntax = "[ADDRESS] $NAME { NETWORK VALUE; default VALUE; delete NETWORK; proxy NETWORK; proxy_recursive; ranges; ... }",
     .help = "A variable by the client's address, or the one that the text ADDRESS gives: the longest prefix that fits decides. Behind a proxy of these it is X-Forwarded-For that tells. After ranges, lines are for FIRST-LAST."},
    {.name = "split_clients", .where = CONF_HTTP, .args = {2, 2}, .type = CONF_LINES, .field = PART(splits), .block = true,
     .syntax = "TEXT $NAME { PERCENT% VALUE; ... * VALUE; }",
     .help = "A variable that has each value for a share of the texts, always the same for the same text."},
    {0},
    // clang-format on
};

static const struct conf_table table = {CONF_SECTION_VARIABLES, rows, NULL};

const struct feature feature_geo = {
    .name = "geo, split_clients", .table = &table, .name_variables = name_variables};
