/*
 * shm/ticket_keys.h - the keys of TLS session tickets, which all workers of a server share: what one has given out any other takes up.
 *
 * A ring in a memory file of its own: the next key, the current one, two old ones, and one that is being made. The master makes a new one
 * once the current one has been used as long as a ticket is valid; so each is known as long as any ticket that was made with it. The file
 * outlives reloads and deaths, and a new binary is given it.
 * Trust:     workers can read it, and cannot make it writable again.
 * Threads and processes: one master writes, or two of different binaries, of which the first to claim a turn has it; any thread reads.
 * Source:    RFC 5077 section 5.5 (rotation); the form of a key is nginx's (ssl_session_ticket_key).
 */
#ifndef WEIR_SHM_TICKET_KEYS_H
#define WEIR_SHM_TICKET_KEYS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    TICKET_KEY_NAME_BYTES = 16,
    /* A name, 32 for HMAC-SHA256, 32 for AES-256. */
    TICKET_KEY_BYTES = 80,
    TICKET_KEYS = 5,
    TICKET_KEYS_TURN_MS = 60000 /* none is used for less */
};

/* --- for the master --- */

/* Makes the ring, with keys. False with errno: there is none, and tickets are not given out. */
bool ticket_keys_open(void);
void ticket_keys_close(void);

/* The memory file, for the next binary; -1: there is none. */
int ticket_keys_file(void);

/* In place of an own one, an older binary's, whose file is the caller's until this succeeds. False: it is none of ours. */
bool ticket_keys_take_over(int fd);

/* A new key, if the current one has been used for that long. Monotonic milliseconds; returns when to call again. */
uint64_t ticket_keys_look(uint64_t now_ms, uint64_t valid_ms);

/* --- for workers --- */

/* From now on this process can only read. */
void ticket_keys_read_only(void);

/* The key for new tickets. False: there is none. */
bool ticket_keys_current(unsigned char key[TICKET_KEY_BYTES]);

/* The key of this name. 0: it is not known; 1: it is the current or the next one; 2: an old one. */
int ticket_keys_find(const unsigned char name[TICKET_KEY_NAME_BYTES], unsigned char key[TICKET_KEY_BYTES]);

#endif
