/*
 * http/serve/features.h - the list of the server's features.
 */
#ifndef WEIR_HTTP_SERVE_FEATURES_H
#define WEIR_HTTP_SERVE_FEATURES_H

struct feature;

/* Ended by NULL. */
extern const struct feature *const features[];

/* To be called once, before the first configuration is read and before there is any thread. */
void features_use(void);

#endif
