/*
 * http/site/geo.h - variables by the client's address, or by shares of the clients: geo and split_clients.
 */
#ifndef WEIR_HTTP_SITE_GEO_H
#define WEIR_HTTP_SITE_GEO_H

struct feature;

extern const struct feature feature_geo;

#endif
