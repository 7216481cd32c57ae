/*
 * http/filters/charset.h - the character set that answers are said to have, and are converted to: charset and its kin.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_FILTERS_CHARSET_H
#define WEIR_HTTP_FILTERS_CHARSET_H

#include "base/slice.h"

#include <stdbool.h>

struct feature;
struct settings;

extern const struct feature feature_charset;

/* Whether charset_types has the type. */
bool charset_lists_type(const struct settings *s, struct slice type);

#endif
