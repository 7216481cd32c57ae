/*
 * worker/stapling.h - authorities are asked about the server's certificates in time (ssl_stapling), one after the other.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_WORKER_STAPLING_H
#define WEIR_WORKER_STAPLING_H

struct worker;

/* Asks about what is due, now and from then on. Also when certificates have changed. */
void stapling_go_on(struct worker *w);

#endif
