/*
 * http/site/tls_variables.h - what a request may know of its connection's TLS.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_SITE_TLS_VARIABLES_H
#define WEIR_HTTP_SITE_TLS_VARIABLES_H

#include "http/site/feature.h"

extern const struct feature_variable tls_variables[];

#endif
