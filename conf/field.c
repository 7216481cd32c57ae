/*
 * conf/field.c - a row's field: filled by the value of a statement, which is checked, and marked as given on its level.
 */
#include "conf/conf.h"
#include "conf/directive.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>

void conf_begin(struct conf *conf, struct conf_given *given, size_t size)
{
    given->bits = conf_must(arena_zalloc(&conf->arena, size / 8 + 1));
}

void conf_begin_settings(struct conf *conf, struct settings *s)
{
    conf_begin(conf, &s->given, sizeof *s + conf_parts_size());
    s->parts.bytes = conf_must(arena_zalloc(&conf->arena, conf_parts_size()));
}

/* The field's bit: parts count as if they lay behind struct settings. */
static size_t bit_of(const struct conf_directive *d)
{
    return d->field.part ? sizeof(struct settings) + d->field.part->at + d->field.at : d->field.at;
}

bool conf_is_given(const struct conf_given *given, const struct conf_directive *d)
{
    return given->bits[bit_of(d) / 8] >> bit_of(d) % 8 & 1;
}

void conf_mark_given(struct conf_given *given, const struct conf_directive *d)
{
    given->bits[bit_of(d) / 8] |= (unsigned char)(1 << bit_of(d) % 8);
}

void *conf_field_in(const struct conf_directive *d, void *values)
{
    struct settings *s = values;
    char *from = d->field.part ? part_in(&s->parts, d->field.part, d->field.part->size) : values;
    return from + d->field.at;
}

const void *conf_field_of(const struct conf_directive *d, const void *values)
{
    const struct settings *s = values;
    const char *from = d->field.part ? part_in(&s->parts, d->field.part, d->field.part->size) : values;
    return from + d->field.at;
}

/* The index of `text` among the row's words, or -1. */
static int find_choice(const struct conf_directive *d, struct slice text)
{
    for (int i = 0; d->words[i]; i++)
        if (slice_eq_nocase(slice_of(d->words[i]), text))
            return i;
    return -1;
}

/* "8 4k" */
static bool parse_buffers(const struct conf_node *n, int64_t *bytes, struct slice *wrong)
{
    int64_t count, size;
    *wrong = n->args[0];
    if (!conf_parse_whole(n->args[0], 1, 1 << 20, &count))
        return false;
    *wrong = n->args[1];
    if (!conf_parse_size(n->args[1], &size) || size < 1 || size > INT64_MAX / count)
        return false;
    *bytes = count * size;
    return true;
}

/* Reads a number of the row's type. Returns false if the text is not one, or lies outside the row's range. */
static bool parse_number(const struct conf_directive *d, struct slice text, int64_t *value)
{
    switch (d->type) {
    case CONF_FLAG:
        if (slice_eq_nocase(text, SLICE("on")))
            *value = 1;
        else if (slice_eq_nocase(text, SLICE("off")))
            *value = 0;
        else
            return false;
        return true;
    case CONF_NUMBER:
        return conf_parse_number(text, value);
    case CONF_SIZE:
        if (d->off_is_zero && slice_eq(text, SLICE("off"))) {
            *value = 0;
            return true;
        }
        return conf_parse_size(text, value);
    case CONF_TIME:
        return conf_parse_time(text, value);
    case CONF_CHOICE:
        *value = find_choice(d, text);
        if (*value >= 0 && d->values)
            *value = d->values[*value];
        return *value >= 0;
    default:
        return false;
    }
}

/* *wrong is the word that is not to be understood, or that decides the number. */
static bool parse_numbers(const struct conf_directive *d, const struct conf_node *n, int64_t *value,
                          struct slice *wrong)
{
    *wrong = n->args[n->nargs - 1];
    if (d->type == CONF_BUFFERS)
        return parse_buffers(n, value, wrong);
    if (d->type != CONF_CHOICES)
        return parse_number(d, n->args[0], value);
    *value = 0;
    for (int i = 0; i < n->nargs; i++) {
        int choice = find_choice(d, n->args[i]);
        if (choice < 0) {
            *wrong = n->args[i];
            return false;
        }
        *value |= (int64_t)1 << choice;
    }
    return true;
}

static const char *unit_of(enum conf_type_of_value type)
{
    switch (type) {
    case CONF_TIME:
        return " ms";
    case CONF_SIZE:
        return " bytes";
    case CONF_BUFFERS:
        return " bytes in all";
    default:
        return "";
    }
}

bool conf_field_fits(const struct conf_directive *d)
{
    switch (d->type) {
    case CONF_FLAG:
        return d->field.size == sizeof(bool);
    case CONF_CHOICE:
    case CONF_CHOICES:
        return d->field.size == sizeof(int);
    case CONF_NUMBER:
        return d->field.size == sizeof(int64_t) ||
               (d->field.size == sizeof(int) && d->range.max > 0 && d->range.max <= INT_MAX);
    case CONF_SIZE:
    case CONF_TIME:
    case CONF_BUFFERS:
        return d->field.size == sizeof(int64_t);
    case CONF_TEXT:
    case CONF_PATH:
        return d->field.size == sizeof(struct slice);
    case CONF_TEMPLATE:
    case CONF_LINES:
        return d->field.size == sizeof(void *);
    default:
        return true;
    }
}

/* An enum is as large as an int, and an unsigned may be written as one. */
static_assert(sizeof(enum conf_live) == sizeof(int), "an enum of the settings is written as an int");

static void store(void *field, size_t size, int64_t value)
{
    if (size == sizeof(bool))
        *(bool *)field = value != 0;
    else if (size == sizeof(int))
        *(int *)field = (int)value;
    else
        *(int64_t *)field = value;
}

static bool set_number(struct conf_walk *w, const struct conf_node *n, const struct conf_directive *d,
                       void *field)
{
    int64_t value;
    char text[CONF_SYNTAX_MAX];
    struct slice wrong;
    if (!parse_numbers(d, n, &value, &wrong)) {
        conf_error(&w->conf->errors, n, "\"%s\" directive invalid value \"%.*s\"; it takes %s", d->name,
                   SLICE_ARGS(wrong), d->words ? conf_syntax_of(d, text) : conf_type_words(d->type));
        return false;
    }
    if ((d->range.min || d->range.max) && (value < d->range.min || value > d->range.max)) {
        conf_error(&w->conf->errors, n,
                   "\"%s\" directive invalid value \"%.*s\": out of range; it must be from %lld to %lld%s",
                   d->name, SLICE_ARGS(wrong), (long long)d->range.min, (long long)d->range.max,
                   unit_of(d->type));
        return false;
    }
    store(field, d->field.size, value);
    return true;
}

static void add_line(struct conf *conf, const struct conf_node *n, struct conf_lines **tail)
{
    struct conf_lines *line = conf_must(arena_zalloc(&conf->arena, sizeof *line));
    line->node = n;
    while (*tail)
        tail = &(*tail)->next;
    *tail = line;
}

bool conf_set_value(struct conf_walk *w, const struct conf_node *n, const struct conf_directive *d,
                    void *values)
{
    assert(values || d->type == CONF_CUSTOM || d->type == CONF_ACCEPTED);
    void *field = values ? conf_field_in(d, values) : NULL;
    switch (d->type) {
    case CONF_CUSTOM:
        d->set(w, n);
        return true;
    case CONF_ACCEPTED:
        return true;
    case CONF_LINES:
        add_line(w->conf, n, field);
        return true;
    case CONF_TEMPLATE:
        *(const struct conf_node **)field = n;
        return true;
    case CONF_TEXT:
        *(struct slice *)field = n->args[0];
        return true;
    case CONF_PATH:
        *(struct slice *)field = conf_full_path(w->conf, n->args[0]);
        return true;
    default:
        return set_number(w, n, d, field);
    }
}
