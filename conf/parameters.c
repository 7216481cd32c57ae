/*
 * conf/parameters.c - words of a statement that are "KEY=VALUE", and what stands for those that it leaves out.
 */
#include "conf/directive.h"

struct conf_key_value *conf_key_values(struct conf_walk *w, const struct conf_node *n, int first)
{
    struct conf_key_value *list = NULL, **tail = &list;
    for (int i = first; i < n->nargs; i++) {
        const char *equals = memchr(n->args[i].data, '=', n->args[i].len);
        if (!equals) {
            conf_error(&w->conf->errors, n,
                       "invalid parameter \"%.*s\" in \"%.*s\" directive; write it as name=value",
                       SLICE_ARGS(n->args[i]), SLICE_ARGS(n->name));
            continue;
        }
        struct conf_key_value *kv = conf_must(arena_zalloc(&w->conf->arena, sizeof *kv));
        size_t key_len = (size_t)(equals - n->args[i].data);
        kv->key = arena_dup(&w->conf->arena, (struct slice){n->args[i].data, key_len});
        kv->value = arena_dup(&w->conf->arena, slice_from(n->args[i], key_len + 1));
        *tail = kv;
        tail = &kv->next;
    }
    return list;
}

struct conf_key_value conf_split_parameter(struct slice word)
{
    const char *equals = word.len ? memchr(word.data, '=', word.len) : NULL;
    size_t len = equals ? (size_t)(equals - word.data) : word.len;
    return (struct conf_key_value){.key = {word.data, len},
                                   .value = equals ? slice_from(word, len + 1) : (struct slice){0}};
}

int conf_default_parameters(struct conf *conf, struct slice name, enum conf_context context,
                            struct slice words[static CONF_PARAMETERS_MAX])
{
    const struct conf_directive *d = conf_find_directive(name, context);
    struct slice rest = slice_of(d->parameters);
    int count = 0;
    while (rest.len && count < CONF_PARAMETERS_MAX) {
        const char *blank = memchr(rest.data, ' ', rest.len);
        size_t len = blank ? (size_t)(blank - rest.data) : rest.len;
        words[count++] = arena_dup(&conf->arena, (struct slice){rest.data, len});
        rest = slice_from(rest, len + (blank != NULL));
    }
    return count;
}
