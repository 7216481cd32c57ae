/*
 * net/tls.h - TLS (RFC 8446, RFC 5246) as a layer of streams, by OpenSSL: nobody above sees that library.
 *
 * A context is what one server wants: certificates, protocols, who may come. A stream begins with the context of the default server,
 * and the name that the client asks for (RFC 6066 section 3) chooses another one before anything is negotiated.
 * Ownership: contexts are the site's, and outlive the streams that began with them; what a stream needs it frees when it is closed.
 * Threads:   contexts are made by the thread that builds a site; streams are the loop's, but for net_tls_compute.
 */
#ifndef WEIR_NET_TLS_H
#define WEIR_NET_TLS_H

#include "base/buf.h"
#include "base/slice.h"
#include "net/stream.h"

#include <stdint.h>

struct net_tls_context;
struct net_tls; /* a stream's */

/* In a process's beginning, before anything else is asked of the library. Without it connections cost more memory. */
void net_tls_begin_process(void);

/* Bits of net_tls_rules.protocols. */
enum net_tls_protocol { NET_TLS_1_0 = 1, NET_TLS_1_1 = 2, NET_TLS_1_2 = 4, NET_TLS_1_3 = 8 };

enum net_tls_verify {
    NET_TLS_VERIFY_OFF,
    NET_TLS_VERIFY_ON,
    NET_TLS_VERIFY_OPTIONAL,
    /* Also by an authority that nobody knows. */
    NET_TLS_VERIFY_OPTIONAL_NO_CA
};

struct net_tls_pair {
    /* PEM files, or "data:" and what would be in one. */
    const char *certificate, *key;
};

struct net_tls_command {
    const char *name, *value; /* as SSL_CONF_cmd(3) has them */
};

enum { NET_TLS_TICKET_KEY_BYTES = 80 };

/* Keys for tickets that change while they are used: a name of 16 bytes, 32 for HMAC-SHA256, 32 for AES-256. From any thread. */
struct net_tls_key_ring {
    bool (*current)(unsigned char key[NET_TLS_TICKET_KEY_BYTES]); /* false: there is none */
    /* 0: there is none of that name; 2: its tickets are to be made anew; else 1. */
    int (*find)(const unsigned char name[16], unsigned char key[NET_TLS_TICKET_KEY_BYTES]);
};

/* Where a server keeps sessions for clients without a ticket; from any thread. */
enum { NET_TLS_SESSION_MAX = 4096 };
struct net_tls_cache {
    bool says_no; /* clients are told that there is none */
    /* NULL: there is none. */
    bool (*keep)(void *with, struct slice id, struct slice session);
    /* 0: it is not there. */
    size_t (*find)(void *with, struct slice id, char session[NET_TLS_SESSION_MAX]);
    void *with;
    /* A session that has gone wrong, of whatever server. NULL: nobody wants to know. */
    void (*drop)(struct slice id);
};

/* Whose certificates authorities are asked about. */
enum net_tls_status_depth { NET_TLS_STATUS_OFF, NET_TLS_STATUS_CHAIN, NET_TLS_STATUS_LEAF };

/* What a context is to be like. Texts: NULL is the library's way. */
struct net_tls_rules {
    const struct net_tls_pair *pairs;
    int pair_count;
    const char *password_file; /* phrases for keys, one in each line */
    /*
     * Pairs whose names net_tls_server.name_pair says of the owner for each client, in place of `pairs`; and where they are kept, which
     * outlives the context; NULL: nowhere.
     */
    int varying_count;
    const char *varying_names; /* as they are written */
    const void *owner;
    struct net_tls_loaded *loaded;
    unsigned protocols;
    const char *ciphers, *curves, *dh_file;
    /* Protocols of what is inside, each behind its length (RFC 7301 section 3.1), the best first; empty: any. */
    struct slice inner_protocols;
    const struct net_tls_command *commands;
    int command_count;
    enum net_tls_verify verify;
    int verify_depth;
    const char *client_file;  /* authorities whose names clients are told */
    const char *trusted_file; /* more of them, of which nothing is told */
    const char *crl_file;
    /* Files with a server's own keys for tickets, as ssl_session_ticket_key has them; without any the ring's. */
    const char *const *ticket_key_files;
    int ticket_key_count;
    const struct net_tls_key_ring *ring;
    size_t record_bytes; /* of plain text, at most 16384 */
    int64_t session_timeout_s;
    struct net_tls_cache cache;
    bool prefers_own_ciphers, tickets;
    bool keeps_sessions;   /* a client: for net_tls_target.keep */
    bool takes_early_data; /* RFC 8446 section 2.3 */
    /* Of net/tls_status.h: whether clients get what the authority says of the certificates. */
    struct {
        bool is_on, verifies;
        const char *responder; /* NULL: whom they name */
        /* An answer in DER: nobody is asked. */
        const char *file;
    } staples;
    /* Whether authorities are asked about clients' certificates before their handshakes are over. */
    struct {
        enum net_tls_status_depth depth;
        const char *responder; /* NULL: whom they name */
        struct net_tls_cache cache;
        int where; /* for net_tls_server.leave */
    } client_status;
    /* For net_tls_server.leave: where full handshakes are computed that do not stay; less than 0: all of them do. */
    int where;
    bool is_client; /* it is for net_tls_connect */
    /* There is no certificate: whoever asks for this server is refused. */
    bool rejects;
    /* Told of a certificate that cannot be had: the server refuses everybody until it is there. NULL: that is an error. */
    void (*missing)(void *with, const char *error);
    void *missing_with;
};

enum { NET_TLS_EARLY_MAX = 16384, NET_TLS_ERROR_BYTES = 1024, NET_TLS_RECORD_MAX = 16384 };

/* NULL: `error` says what is wrong with which file or value. */
struct net_tls_context *net_tls_context_new(const struct net_tls_rules *rules,
                                            char error[NET_TLS_ERROR_BYTES]);
void net_tls_context_free(struct net_tls_context *context);

/*
 * A certificate with its key, read and checked, for a context that may be in use: streams that there are keep what they have. Those calls
 * without a context may be made on any thread.
 */
struct net_tls_certificate;

/* A pair of a context's rules as it is now; from texts, of which the names are for errors; NULL: `error` says why not. */
struct net_tls_certificate *net_tls_certificate_load(const struct net_tls_rules *rules, int pair,
                                                     char error[NET_TLS_ERROR_BYTES]);
struct net_tls_certificate *net_tls_certificate_new(const struct net_tls_pair *names,
                                                    struct slice certificate, struct slice key,
                                                    struct slice phrases, char error[NET_TLS_ERROR_BYTES]);
/* It is gone with its last holder. */
struct net_tls_certificate *net_tls_certificate_hold(struct net_tls_certificate *certificate);
void net_tls_certificate_free(struct net_tls_certificate *certificate);

/* Appends one text with all of it, the key as it is: it serves as both texts. False: out of memory. */
bool net_tls_certificate_pack(const struct net_tls_certificate *certificate, struct buf *out);

/* Whether a context can change to it: its key is of the same kind as that of the one before. */
bool net_tls_context_has_kind(const struct net_tls_context *context, int pair,
                              const struct net_tls_certificate *certificate);

/* A name for people: of "data:" not what stands behind it, which may be a key. */
const char *net_tls_shown(const char *name);

/* In place of the pair's one. False: nothing has changed, and net_tls_last_refusal says why; that text stands until the next call. */
const char *net_tls_last_refusal(void);
bool net_tls_context_use(struct net_tls_context *context, int pair,
                         const struct net_tls_certificate *certificate);

/* When that pair's ends to be valid, in seconds since 1970; 0: there is none. */
int64_t net_tls_context_expiry(const struct net_tls_context *context, int pair);

/* Whether no certificate is missing any more; and the server takes clients then. */
bool net_tls_context_is_whole(const struct net_tls_context *context);
void net_tls_context_serve(struct net_tls_context *context);

/* Whether the key's file is one that everybody may read. */
bool net_tls_key_is_open(const char *file);

/* What a handshake leaves the loop for: its costly part; that with files to be read before; authorities to be asked, and waited for. */
enum net_tls_work { NET_TLS_COMPUTES, NET_TLS_READS, NET_TLS_ASKS };

/* What a server decides while a handshake goes on; all of it is asked on the loop. */
struct net_tls_server {
    /* The context for a name, lower case, or empty where the client asks for none; NULL: the one that the stream began with. */
    const struct net_tls_context *(*choose)(const void *with, struct slice name);
    /* Appends the names of a pair that varies. False: out of memory. */
    bool (*name_pair)(void *with, const void *owner, int pair, struct buf *certificate, struct buf *key);
    /* Whether one that takes so much, in microseconds of the processor, may be computed here and now. */
    bool (*stays)(void *with, unsigned cost_us);
    /*
     * A handshake that takes up no session has come to its costly part. What is returned has it until net_tls_back: net_tls_compute is
     * called on another thread, or not at all. NULL: nobody takes it, and the handshake has failed.
     */
    void *(*leave)(void *with, struct net_tls *tls, int where, enum net_tls_work work);
    /* The client has left, or the stream has been closed: who has it need not compute it, and brings it back all the same. */
    void (*forget)(void *with, void *taken, bool is_closed);
};

/*
 * The stream, which is connected and not yet read, speaks TLS as a server from now on. `with` lives as long as the stream. False: out of
 * memory, and nothing has changed.
 */
bool net_tls_accept(struct net_stream *s, struct ev_loop *loop, const struct net_tls_context *context,
                    const struct net_tls_server *server, void *with);

/* On any thread: the next step of a handshake that has left the loop. Never waits for the client. */
void net_tls_compute(struct net_tls *tls);

/* On the loop: it goes on there. why_not: it has not been computed, and has failed for that; NULL: it has. */
void net_tls_back(struct net_tls *tls, const char *why_not);

/* Whether the stream speaks TLS; and whether its handshake is over. What was negotiated is empty before. */
bool net_tls_is_on(const struct net_stream *s);
bool net_tls_is_ready(const struct net_stream *s);

/* --- as a client --- */

/* What a server has given to be taken up by another connection. */
struct net_tls_session;
void net_tls_session_free(struct net_tls_session *session);

struct net_tls_target {
    struct slice asked_name; /* empty: none is asked for */
    /* What is offered to speak inside (ALPN), each with its length before it; empty: nothing is said. */
    struct slice inner_protocols;
    /* To show to the server, beside or in place of the context's; NULL: none. */
    const struct net_tls_certificate *certificate;
    struct net_tls_session *session; /* to take up; NULL: none */
    /* Gets sessions, which are its own then, while the stream lives; NULL: they are not wanted. */
    void (*keep)(void *with, struct net_tls_session *session);
    void *with;
};

/* The stream, which is connected, speaks TLS as a client from now on, by a context of that kind. False: out of memory. */
bool net_tls_connect(struct net_stream *s, struct ev_loop *loop, const struct net_tls_context *context,
                     const struct net_tls_target *target);

/*
 * Goes on with the handshake, before anything is read or written: 1: it is over; 0: the watcher, which waits to write, says when to call
 * again; -1: it has failed, with errno.
 */
int net_tls_shake_hands(struct net_stream *s);

/* When it is over: 0, or why the server's certificate is not to be trusted; and whether it is for this name, or address. */
long net_tls_server_verdict(const struct net_stream *s);
bool net_tls_server_is(const struct net_stream *s, struct slice wanted);

/* The context that a server's stream has come to by the client's name. */
const struct net_tls_context *net_tls_context_of(const struct net_stream *s);

/* What has gone wrong on this side, with a certificate or with asking about the client's, for the log; NULL: nothing. */
const char *net_tls_complaint(const struct net_stream *s);

/* What is wrong with the last read or write that failed with EPROTO, for the log; "" nothing is known. */
const char *net_tls_why(const struct net_stream *s);

/* Whether a first byte is that of a handshake, or of plain text. */
bool net_tls_begins_with(unsigned char byte);

/* "TLSv1.3"; "TLS_AES_256_GCM_SHA384"; "X25519"; the name that was asked for: texts that live as long as the stream. */
struct slice net_tls_protocol_name(const struct net_stream *s);
struct slice net_tls_cipher_name(const struct net_stream *s);
struct slice net_tls_curve_name(const struct net_stream *s);
struct slice net_tls_server_name(const struct net_stream *s);
bool net_tls_is_resumed(const struct net_stream *s);

/* The session's id, in hexadecimal digits. */
struct slice net_tls_session_id(const struct net_stream *s, char *text, size_t room);

/* What a client has shown of itself, and offered. */
enum net_tls_client_text {
    NET_TLS_CLIENT_PEM,
    NET_TLS_CLIENT_SUBJECT, /* as RFC 2253 has it */
    NET_TLS_CLIENT_ISSUER,
    NET_TLS_CLIENT_SUBJECT_LEGACY, /* "/C=.../CN=..." */
    NET_TLS_CLIENT_ISSUER_LEGACY,
    NET_TLS_CLIENT_SERIAL,
    NET_TLS_CLIENT_FINGERPRINT, /* SHA-1, in hexadecimal digits */
    NET_TLS_CLIENT_VALID_FROM,
    NET_TLS_CLIENT_VALID_TO,
    NET_TLS_CLIENT_DAYS_LEFT,
    NET_TLS_CLIENT_CIPHERS, /* of its first words: names with colons */
    NET_TLS_CLIENT_CURVES
};

/* Appends one of them. False: there is none, or memory is out. */
bool net_tls_write_client(const struct net_stream *s, enum net_tls_client_text what, struct buf *out);

/* The protocol that was agreed on for what is inside (RFC 7301); empty: none was asked for. */
struct slice net_tls_inner_protocol(const struct net_stream *s);

/* Whether what has been read last may be a repetition, as the handshake is not over (RFC 8470). */
bool net_tls_is_early(const struct net_stream *s);

/* Of the client's certificate: 0, or why it is not to be trusted, for net_tls_verdict_text; -1: there is none. */
long net_tls_client_verdict(const struct net_stream *s);
const char *net_tls_verdict_text(long verdict);

/* Whether that is about the authority alone: nobody here knows it. */
bool net_tls_is_of_unknown_authority(long verdict);

#endif
