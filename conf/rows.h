/*
 * conf/rows.h - what the rows of the directive tables are written with.
 */
#ifndef WEIR_CONF_ROWS_H
#define WEIR_CONF_ROWS_H

#include "conf/directive.h"

// clang-format off
// NOLINTBEGIN(bugprone-sizeof-expression): the size of a field, also where it is a pointer
#define CONF_FIELD(type, member) {offsetof(type, member), sizeof(((type *)0)->member), NULL}
#define CONF_PART_FIELD(tag, member) {offsetof(struct tag, member), sizeof(((struct tag *)0)->member), &tag##_part}
// NOLINTEND(bugprone-sizeof-expression)
// clang-format on
#define FIELD(member) CONF_FIELD(struct settings, member)

#define WORDS(...)        \
    (const char *const[]) \
    {                     \
        __VA_ARGS__, NULL \
    }

#endif
