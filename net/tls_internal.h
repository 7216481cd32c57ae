/*
 * net/tls_internal.h - what the files of TLS share. Not for others.
 */
#ifndef WEIR_NET_TLS_INTERNAL_H
#define WEIR_NET_TLS_INTERNAL_H

#include "net/tls.h"
#include "net/tls_status.h"

#include <openssl/ssl.h>
#include <time.h>

struct net_tls_ticket_key {
    unsigned char name[16], hmac[32], aes[32];
    size_t secret_bytes; /* used of hmac, and of aes */
};

/* Of a certificate in use. */
struct net_tls_known {
    int kind; /* of its key; 0: there is none yet */
    int64_t expires_s;
    /* NULL: there is none yet. */
    X509 *leaf;
    STACK_OF(X509) * between;
    int64_t staple_due_s;
};

struct net_tls_context {
    SSL_CTX *ctx;
    size_t record_bytes;
    int where; /* of net_tls_rules */
    /* Of a full handshake, lately, in microseconds of the processor; 0: there was none. Of any thread. */
    _Atomic unsigned *cost_us;
    /* The first one seals, all of them open. None: the ring's. */
    struct net_tls_ticket_key *ticket_keys;
    int ticket_key_count;
    const struct net_tls_key_ring *ring;
    struct net_tls_cache cache;
    char *curves; /* NULL: the library's */
    struct slice inner_protocols;
    int varying_count;
    const void *owner;
    struct net_tls_loaded *loaded;
    char *password_file;
    struct net_tls_staples *staples; /* NULL: there are none */
    bool asks_for_staples, verifies_staples;
    char *staple_responder; /* NULL: whom certificates name */
    struct {
        enum net_tls_status_depth depth;
        char *responder; /* NULL: whom certificates name */
        struct net_tls_cache cache;
        int where;
    } client_status;
    bool takes_early_data;
    struct net_tls_known *pairs;
    int pair_count;
    bool rejects, wants_to_reject;
};

/* A client whose authorities are to be asked has to show all of its certificates, which are in no session. */
static inline bool net_tls_takes_sessions(const struct net_tls_context *context)
{
    return context->client_status.depth == NET_TLS_STATUS_OFF;
}

/* A stream's. */
struct net_tls {
    struct net_layer layer; /* first: the stream's layer is this one */
    SSL *ssl;
    struct ev_loop *loop;
    /* NULL: closed, while the handshake is away. */
    struct net_stream *stream;
    const struct net_tls_context *context; /* chosen by the name */
    struct net_tls_staples *staples;       /* what that had then */
    struct net_tls_loading *loading;       /* of names that vary */
    const struct net_tls_server *server;   /* NULL: it is the client */
    /* Of a client: who keeps its sessions; NULL: nobody. */
    void (*keep)(void *with, struct net_tls_session *session);
    void *with;
    /* Who has the handshake; NULL: the loop. Meanwhile nothing else here is touched but `stream` and `fd`. */
    void *away;
    /* To be closed when it is back without a stream. */
    int fd;
    /* Of a record that the socket has not taken whole: its bytes of plain text; 0: there is none. */
    size_t unsent;
    /* Bytes that went out before they were given. */
    size_t ahead;
    net_on_event *user;
    /* Of the processor; 0: it does not compute here. */
    uint64_t begun_us;
    int wanted; /* events that the user wants to be told of */
    /* Until the socket can be written nothing can be read, and the other way round. */
    bool read_wants_write, write_wants_read;
    char *why;  /* the failure, or NULL */
    int failed; /* its errno; 0: the end of the stream */
    bool ready; /* the handshake is over */
    /* Nothing goes out any more, not even a goodbye; and nothing comes. */
    bool broken;
    bool said_goodbye; /* nothing is written any more */
    /* The other side's end is the last that has come of any call: it does not wait for a goodbye. */
    bool ends_unheard;
    bool has_chosen; /* its context, by the name */
    /* It is read as such a server does; data has come, and the handshake is not over; and there is no more of it. */
    bool reads_early, is_early, early_is_over;
    /* There is something to be read of which no event of the socket tells: data, the end, or a failure. */
    bool more;
    /* It is being computed: its step is not to be left to a thread. */
    bool computes;
    /* Of the socket, in this call; and whether it has no more, or is not asked for it. */
    size_t bytes_read;
    bool is_dry;
    bool has_left; /* the client, while the handshake was away */
    /* Of the client's certificate, once its authorities have been asked. */
    struct {
        bool is_known, has_failed;
        enum net_tls_status found;
        char *error;
    } status;
};

/* Since 1970; 0: it is no time. */
static inline int64_t net_tls_seconds_of(const ASN1_TIME *time)
{
    struct tm parts;
    return time && ASN1_TIME_to_tm(time, &parts) == 1 ? (int64_t)timegm(&parts) : 0;
}

/* NULL: the stream has no TLS. */
struct net_tls *net_tls_of(const struct net_stream *s);

/* net/tls_stream.c: the stream has a layer from now on, without a side yet. False: out of memory. */
bool net_tls_begin(struct net_stream *s, struct ev_loop *loop, const struct net_tls_context *context);

/* net/tls_client.c: sessions of this kind are given to who keeps them. */
void net_tls_keep_sessions(SSL_CTX *ctx);

/* net/tls_hello.c: connections of this kind choose their context when the client's first words are there. */
void net_tls_watch_hello(SSL_CTX *ctx);

/*
 * net/tls_state.c: what a call that has not succeeded has come to: -1 with errno, or 0 at the end, on any thread; the socket is watched for
 * what the user and the library wait for; and the end.
 */
ssize_t net_tls_settle(struct net_tls *t, int result);
void net_tls_watch_socket(struct net_stream *s, const struct net_tls *t);
void net_tls_free(struct net_tls *t);

/* Before each call of the library that may touch the socket. */
void net_tls_begin_call(struct net_tls *t);

/* Whether the client's certificate is to be asked about; and once the handshake is over, and nothing is left to be asked, that it is. */
bool net_tls_must_ask(const struct net_tls *t);
void net_tls_note_ready(struct net_tls *t);

/* net/tls_away.c: full handshakes of this kind leave the loop; the loop's part of it, and a look at the client meanwhile. */
void net_tls_watch_certificate(SSL_CTX *ctx);
ssize_t net_tls_leave(struct net_stream *s, struct net_tls *t);
/* After a call that may have computed here. */
void net_tls_note_cost(struct net_tls *t);
void net_tls_look_at_client(struct net_stream *s, struct net_tls *t);

/* net/tls_ticket.c: tickets of this kind are sealed with the contexts' keys. False: the file is not 48 or 80 bytes long, or not there. */
void net_tls_watch_tickets(SSL_CTX *ctx);
bool net_tls_read_ticket_key(struct net_tls_ticket_key *key, const char *file);

/* net/tls_cache.c: sessions of this kind are kept as their contexts want it. */
void net_tls_watch_sessions(struct net_tls_context *context);

/*
 * net/tls_staple.c: clients of this kind are given what the set of their handshake has; an answer for whatever certificate; and the pair's
 * certificate is another one.
 */
struct net_tls_staples *net_tls_staples_hold(struct net_tls_staples *set);
void net_tls_staples_let_go(struct net_tls_staples *set);
void net_tls_watch_status(SSL_CTX *ctx);
bool net_tls_staple_use(struct net_tls_context *context, struct slice answer);
void net_tls_staple_forget(struct net_tls_context *context, int pair);

/* net/tls_certificate.c; read_text: a file, or what stands behind "data:"; false: errno says why not. */
bool net_tls_read_text(const char *name, struct buf *text);
bool net_tls_certificate_use(SSL *ssl, const struct net_tls_certificate *certificate);

/*
 * net/tls_varying.c: certificates for this client. 1: they are there; 0: they cannot be; -1: files are to be read, on a thread. What has
 * been read is kept for others, by the loop; and what has gone wrong, or NULL.
 */
int net_tls_vary(struct net_tls *t);
bool net_tls_has_to_read(const struct net_tls *t);
void net_tls_keep_loaded(struct net_tls *t);
const char *net_tls_loading_error(const struct net_tls *t);
void net_tls_loading_free(struct net_tls_loading *loading);

/* net/tls_client_status.c: authorities are asked about the client's certificate, on a thread that may wait. */
void net_tls_ask_about_client(struct net_tls *t);

/* net/tls_ocsp.c: a question about a certificate, with all that it needs, and its answer. */
struct net_tls_question {
    X509 *certificate, *issuer;
    STACK_OF(X509) * beside; /* others that may have signed */
    X509_STORE *store;
    char *responder;
    enum net_tls_status status;
    int64_t valid_until_s;
    unsigned char *answer; /* in DER */
    size_t answer_len;
};

/* issuer NULL: it is looked for. responder NULL: whom the certificate names. False: `error` says why nobody can be asked, and there is nothing to end. */
bool net_tls_question_begin(struct net_tls_question *q, X509 *certificate, X509 *issuer,
                            STACK_OF(X509) * beside, X509_STORE *store, const char *responder,
                            char error[NET_TLS_ERROR_BYTES]);
void net_tls_question_end(struct net_tls_question *q);

/* Waits, for seconds at most. flags: of OCSP_basic_verify(3). False: `error` says why there is no answer that is any good. */
bool net_tls_ask(struct net_tls_question *q, unsigned long flags, char error[NET_TLS_ERROR_BYTES]);

/* net/tls_error.c: what OpenSSL says of the last failure of this thread, which is forgotten. The text stands until its next call. */
const char *net_tls_last_error(void);

#endif
