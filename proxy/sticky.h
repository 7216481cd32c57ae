/*
 * proxy/sticky.h - requests of one client go to one server of an upstream: sticky.
 */
#ifndef WEIR_PROXY_STICKY_H
#define WEIR_PROXY_STICKY_H

struct feature;

extern const struct feature feature_sticky;

#endif
