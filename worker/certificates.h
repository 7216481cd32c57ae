/*
 * worker/certificates.h - certificates that have changed, as the master sends them.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_WORKER_CERTIFICATES_H
#define WEIR_WORKER_CERTIFICATES_H

struct worker;

/* From a file of the master's, which stays the caller's; used once a thread of the pool "default" has read it. */
void certificates_receive(struct worker *w, int fd);

#endif
