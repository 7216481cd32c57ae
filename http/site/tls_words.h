/*
 * http/site/tls_words.h - words of statements about TLS, for contexts of either side.
 *
 * Threads: the one that builds sites.
 */
#ifndef WEIR_HTTP_SITE_TLS_WORDS_H
#define WEIR_HTTP_SITE_TLS_WORDS_H

#include "http/site/site.h"
#include "net/tls.h"

/* A file's whole path, NULL for none; "data:" and a text as it is, or such a path; ssl_conf_command's lines. */
const char *tls_file(struct site *site, struct slice path);
const char *tls_text_or_file(struct site *site, struct slice text);
struct conf_lines;
const struct net_tls_command *tls_commands(struct site *site, const struct conf_lines *lines);

#endif
