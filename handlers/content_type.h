/*
 * handlers/content_type.h - the content type of a path, as "types" and "default_type" have it.
 *
 * Threads: any.
 */
#ifndef WEIR_HANDLERS_CONTENT_TYPE_H
#define WEIR_HANDLERS_CONTENT_TYPE_H

#include "conf/settings.h"

/* By the extension of its last segment, whatever its letters' case; the last of equal ones in the table counts, as in nginx. */
struct slice content_type_of(const struct settings *settings, struct slice path);

#endif
