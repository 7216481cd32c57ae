/*
 * proxy/script.h - which script of a FastCGI server a request is for, and how its connections are used.
 *
 * Ownership: static.
 * Threads:   the loop's.
 */
#ifndef WEIR_PROXY_SCRIPT_H
#define WEIR_PROXY_SCRIPT_H

#include "http/site/feature.h"

/* fastcgi_index, fastcgi_split_path_info, $fastcgi_script_name, $fastcgi_path_info; fastcgi_keep_conn */
extern const struct feature feature_fastcgi_script;

/* Whether the location's server is to leave the connection open. */
bool fastcgi_keeps(const struct settings *s);

#endif
