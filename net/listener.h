/*
 * net/listener.h - listening sockets: opened by the master, shared by its workers, handed on to a successor.
 *
 * Threads: one thread at a time.
 */
#ifndef WEIR_NET_LISTENER_H
#define WEIR_NET_LISTENER_H

#include "net/address.h"

struct net_listen_options {
    int backlog;
    bool reuseport;
    bool ipv6only;
    int fastopen, receive_bytes, send_bytes;                     /* 0: the system's */
    int keepalive_idle_s, keepalive_interval_s, keepalive_count; /* likewise */
    /* A connection is accepted once it has sent something. */
    bool deferred;
    bool keepalive; /* SO_KEEPALIVE, likewise */
    /* TCP_NODELAY, set on the listener: Linux hands the option on to what is accepted, at no cost per connection. */
    bool nodelay;
};

/* Opens, binds and listens; non-blocking, close-on-exec. -1 with errno. A stale unix socket file is removed;
 * EEXIST: the file is no socket. */
int net_listen(const struct net_address *address, const struct net_listen_options *options);

/*
 * Whether net_listen could bind the address, without listening or leaving anything behind. 0, or -1 with errno; EADDRINUSE
 * says that somebody has it now.
 */
int net_try_listen(const struct net_address *address, const struct net_listen_options *options);

/* Applies what can change on a socket that listens already (backlog, nodelay). 0 or -1 with errno. */
int net_listen_again(int fd, const struct net_listen_options *options);

/*
 * Removes the file of a unix socket on which nobody listens: left over from a crash, or the last one has just closed it. -1 with
 * errno when the file is none of a socket.
 */
int net_remove_stale_socket(const struct net_address *address);

/* The address that a socket is bound to. 0, or -1 with errno. */
int net_bound_address(int fd, struct net_address *out);

/* Whether fd is a listening stream socket. */
bool net_is_listening(int fd);

#endif
