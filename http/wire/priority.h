/*
 * http/wire/priority.h - how urgent a client calls a request: the field Priority (RFC 9218).
 *
 * Threads: plain functions.
 */
#ifndef WEIR_HTTP_WIRE_PRIORITY_H
#define WEIR_HTTP_WIRE_PRIORITY_H

#include "base/slice.h"

enum { HTTP_URGENCY_DEFAULT = 3, HTTP_URGENCY_LEAST = 7 };

/* The member "u" of the dictionary: 0 (most) to 7; the default where there is none, or none that may be (section 4.1). */
int http_urgency(struct slice field);

#endif
