/*
 * http/site/certificates.h - certificates over a site's life: they are taken over when their files change, without a reload.
 *
 * The master looks at the files, as workers may not be able to read keys; what has changed, and is whole, goes to the workers as one text.
 * Threads: the master's only one; in a worker the loop's, but for certificates_read.
 */
#ifndef WEIR_HTTP_SITE_CERTIFICATES_H
#define WEIR_HTTP_SITE_CERTIFICATES_H

#include "base/buf.h"
#include "http/site/site.h"
#include "net/tls.h"

/* A server with TLS. All of it is the site's. */
struct certificate_owner {
    struct slice server; /* its first name */
    struct net_tls_context *context;
    const struct net_tls_rules *rules;
    struct certificate_stamps *stamps; /* one for each pair */
    struct certificate_owner *next;
};

/* A site's certificates, and other files of TLS. */
extern struct part site_certificates_part;

/* Before the files of a server are read for the first time, and when they have been. NULL: out of memory. */
struct certificate_owner *certificates_note(struct site *site, struct slice server,
                                            const struct net_tls_rules *rules);
void certificates_begin(struct site *site, struct certificate_owner *owner, struct net_tls_context *context);

/* In the order of the configuration. NULL: no server speaks TLS. */
const struct certificate_owner *certificates_of(const struct site *site);

/* Another file that a context has been made of; NULL: none. What becomes of it only new workers can take over. */
void certificates_note_file(struct site *site, const char *file);

/* Whether such a file has changed, or a certificate has a key of another kind now. */
bool certificates_need_workers(const struct site *site);

/* Whom the master tells of certificates, all that have changed in one text, and of each that cannot be used. */
struct certificate_news {
    void (*changed)(void *with, struct slice packed);
    void (*failed)(void *with);
    void *with;
};

/*
 * In the master: looks at all files. What has changed is used from now on, and told; a file that changes is left until it rests, unless
 * at_once. What is broken is said in the log once, the one before stays, and it is tried again now and then.
 */
void certificates_look(struct site *site, bool at_once, const struct certificate_news *news);

/* Tells of all that has changed since the site was built, for a worker that could not be told at its time. */
void certificates_catch_up(struct site *site, const struct certificate_news *news);

/* In a worker: what the master has packed, made ready for certificates_use; on any thread. NULL: it is no good, or memory is out. */
struct certificate_change;
struct certificate_change *certificates_read(const struct site *site, struct slice packed);

/*
 * And put in its place; number: the later message has the greater one, and wins in whatever order they are read. Takes the changes. False:
 * not all could be used, which has been logged.
 */
bool certificates_use(struct site *site, struct certificate_change *changes, uint64_t number);

#endif
