/*
 * conf/values.h - what values of settings are made of: texts, and the statements of one directive.
 */
#ifndef WEIR_CONF_VALUES_H
#define WEIR_CONF_VALUES_H

#include "base/slice.h"
#include "conf/tree.h"

#include <stdbool.h>
#include <stdint.h>

/* A number that is left as it is where nothing sets it. */
#define CONF_UNSET INT64_MIN

/* Which fields of a struct statements of one level have set: a bit for each of its bytes, of which a field's first counts. */
struct conf_given {
    unsigned char *bits;
};

struct conf_key_value {
    struct slice key;
    struct slice value;
    struct conf_key_value *next;
};

struct conf_strings {
    const struct slice *items;
    int count;
};

/* Statements of one directive on one level, in order. */
struct conf_lines {
    const struct conf_node *node;
    struct conf_lines *next;
};

#endif
