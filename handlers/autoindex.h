/*
 * handlers/autoindex.h - the list of a directory's files, as HTML, XML, JSON or JSONP (nginx, ngx_http_autoindex_module).
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HANDLERS_AUTOINDEX_H
#define WEIR_HANDLERS_AUTOINDEX_H

#include "base/file_cache.h"
#include "conf/settings.h"
#include "http/request/exchange.h"

struct feature;

extern const struct feature feature_autoindex;

bool autoindex_is_on(const struct settings *s);

/* Answers with the directory `dir` (a zero behind it), which the exchange's path names. 0, or the status of an error page. */
int autoindex_answer(struct http_exchange *ex, const struct settings *s, const struct file_rules *rules,
                     struct slice dir);

/* The name of any one of the directory's files (random_index), none that begins with a dot. False: there is none. */
bool autoindex_pick(struct http_exchange *ex, const struct file_rules *rules, struct slice dir,
                    struct slice *name);

#endif
