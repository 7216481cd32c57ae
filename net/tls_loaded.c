/*
 * net/tls_loaded.c - certificates read when they are wanted, and kept in a hash by the names of their files, the least used one to go first.
 */
#include "net/tls_loaded.h"

#include "base/clock.h"
#include "base/list.h"
#include "net/tls_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 256 };

struct kept {
    struct list_node bucket, use; /* the least recently used first */
    struct net_tls_load is;
    uint64_t used_ms, checked_ms;
};

struct net_tls_loaded {
    struct net_tls_loaded_rules rules;
    struct list_node buckets[BUCKETS], by_use;
    int64_t count;
};

bool net_tls_load(struct net_tls_load *load, const char *password_file, char error[NET_TLS_ERROR_BYTES])
{
    struct net_tls_pair pair = {load->certificate, load->key};
    struct net_tls_rules rules = {.pairs = &pair, .pair_count = 1, .password_file = password_file};
    load->stamps[0] = file_stamp_of(load->certificate);
    load->stamps[1] = file_stamp_of(load->key);
    load->loaded = net_tls_certificate_load(&rules, 0, error);
    return load->loaded != NULL;
}

void net_tls_load_free(struct net_tls_load *load)
{
    net_tls_certificate_free(load->loaded);
    free(load->certificate);
    free(load->key);
    *load = (struct net_tls_load){0};
}

struct net_tls_loaded *net_tls_loaded_new(const struct net_tls_loaded_rules *rules)
{
    struct net_tls_loaded *l = calloc(1, sizeof *l);
    assert(rules->max > 0);
    if (!l)
        return NULL;
    l->rules = *rules;
    list_init(&l->by_use);
    for (int i = 0; i < BUCKETS; i++)
        list_init(&l->buckets[i]);
    return l;
}

static void drop(struct net_tls_loaded *l, struct kept *k)
{
    assert(l->count > 0);
    list_remove(&k->bucket);
    list_remove(&k->use);
    net_tls_load_free(&k->is);
    free(k);
    l->count--;
}

static struct kept *least_used(struct net_tls_loaded *l)
{
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it does not see that list_remove unlinks. */
    return list_empty(&l->by_use) ? NULL : container_of(l->by_use.next, struct kept, use);
}

void net_tls_loaded_free(struct net_tls_loaded *l)
{
    while (l && least_used(l))
        drop(l, least_used(l));
    free(l);
}

static unsigned place_of(const char *name)
{
    return (unsigned)(slice_hash(slice_of(name)) % BUCKETS);
}

static struct kept *look_up(struct net_tls_loaded *l, const struct net_tls_load *load)
{
    struct list_node *bucket = &l->buckets[place_of(load->certificate)];
    for (struct list_node *n = bucket->next; n != bucket; n = n->next) {
        struct kept *k = container_of(n, struct kept, bucket);
        if (strcmp(k->is.certificate, load->certificate) == 0 && strcmp(k->is.key, load->key) == 0)
            return k;
    }
    return NULL;
}

static bool is_unchanged(const struct net_tls_load *load)
{
    struct file_stamp now[2] = {file_stamp_of(load->certificate), file_stamp_of(load->key)};
    return file_stamps_agree(&now[0], &load->stamps[0]) && file_stamps_agree(&now[1], &load->stamps[1]);
}

static void drop_unused(struct net_tls_loaded *l, uint64_t now_ms)
{
    for (struct kept *k = least_used(l); k && now_ms - k->used_ms > (uint64_t)l->rules.inactive_ms;
         k = least_used(l))
        drop(l, k);
}

bool net_tls_loaded_find(struct net_tls_loaded *l, struct net_tls_load *load)
{
    uint64_t now_ms = clock_mono_ms();
    drop_unused(l, now_ms);
    struct kept *k = look_up(l, load);
    if (!k)
        return false;
    if (now_ms - k->checked_ms >= (uint64_t)l->rules.valid_ms) {
        if (!is_unchanged(&k->is)) {
            drop(l, k);
            return false;
        }
        k->checked_ms = now_ms;
    }
    k->used_ms = now_ms;
    list_remove(&k->use);
    list_push_back(&l->by_use, &k->use);
    load->loaded = net_tls_certificate_hold(k->is.loaded);
    return true;
}

void net_tls_loaded_keep(struct net_tls_loaded *l, const struct net_tls_load *load)
{
    uint64_t now_ms = clock_mono_ms();
    struct kept *before = look_up(l, load), *k = calloc(1, sizeof *k);
    assert(load->loaded);
    if (before)
        drop(l, before); /* this one has been read later */
    else if (l->count >= l->rules.max)
        drop(l, least_used(l));
    if (!k)
        return;
    k->is = (struct net_tls_load){.certificate = strdup(load->certificate),
                                  .key = strdup(load->key),
                                  .stamps = {load->stamps[0], load->stamps[1]}};
    k->used_ms = k->checked_ms = now_ms;
    list_init(&k->bucket);
    list_init(&k->use);
    l->count++;
    if (!k->is.certificate || !k->is.key) {
        drop(l, k);
        return;
    }
    k->is.loaded = net_tls_certificate_hold(load->loaded);
    list_push_back(&l->buckets[place_of(k->is.certificate)], &k->bucket);
    list_push_back(&l->by_use, &k->use);
}
