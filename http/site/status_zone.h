/*
 * http/site/status_zone.h - status_zone: requests of a server, or of a location, counted apart.
 *
 * A zone's name may stand in several servers: its figures are kept for each of them. A request counts in its server's zone, and in that of
 * the location that has answered it where that is another one.
 * Ownership: all of it is the site's; a worker's places are its own.
 * Threads:   the loop's.
 */
#ifndef WEIR_HTTP_SITE_STATUS_ZONE_H
#define WEIR_HTTP_SITE_STATUS_ZONE_H

#include "http/request/exchange.h"
#include "http/site/feature.h"
#include "shm/zone_figures.h"

/* Indices into the site's. */
struct location_zones {
    int count;
    int zones[2];
};
LOCATION_PART(location_zones)

/* All of a site, by their order in the configuration. */
struct site_zones {
    struct zone_name *names;
    int count;
};
SITE_PART(site_zones)

extern const struct feature feature_status_zone;

/* A worker's places in its slot, one for each of the site's. False: out of memory. */
bool status_zones_open(struct worker *w);

/* Its request has ended. */
void status_zones_count(const struct http_exchange *ex);

#endif
