/*
 * http/site/maps.h - variables that a configuration defines: map.
 */
#ifndef WEIR_HTTP_SITE_MAPS_H
#define WEIR_HTTP_SITE_MAPS_H

struct feature;

extern const struct feature feature_map;

#endif
