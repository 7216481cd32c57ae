/*
 * http/access/referer.h - which sites a request may come from: valid_referers.
 */
#ifndef WEIR_HTTP_ACCESS_REFERER_H
#define WEIR_HTTP_ACCESS_REFERER_H

struct feature;

extern const struct feature feature_referer;

#endif
