/*
 * http/site/site_variables.h - variables that know the location and the worker.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_SITE_SITE_VARIABLES_H
#define WEIR_HTTP_SITE_SITE_VARIABLES_H

struct shm;

/* Where $connections_active and its kin count. */
void variables_open(const struct shm *shm);

#endif
