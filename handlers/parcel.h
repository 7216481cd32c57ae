/*
 * handlers/parcel.h - a request on its way to another worker's thread, and what the thread has answered, as bytes.
 *
 * Between workers of one configuration on one machine: numbers are the machine's, locations go by their number.
 * Threads: the loop's.
 */
#ifndef WEIR_HANDLERS_PARCEL_H
#define WEIR_HANDLERS_PARCEL_H

#include "base/buf.h"
#include "handlers/job.h"
#include "http/request/exchange.h"

/* Names a request that was lent: its place in the lender's table, and the tag that stands there. */
struct parcel_id {
    uint32_t index;
    uint32_t unused;
    uint64_t tag;
};

/* Appends what a job's handler needs of its request; body_beside: its body goes as a file. False: out of memory. */
bool parcel_pack(struct buf *out, const struct weir_request *job, const struct parcel_id *id,
                 bool body_beside);

/* What was packed. Slices point into the bytes that were given. */
struct parcel {
    struct parcel_id id;
    uint32_t location, pool;
    uint64_t deadline_ms, submitted_us;
    struct http_client client;
    struct http_request req;
    struct slice server_name, request_id, body;
    uint64_t body_len;
    bool body_in_file;
    /* The lender's, of the limits that the request has passed. */
    uint32_t permits[HTTP_PERMITS_MAX];
    int permit_count;
    /* Of auth_basic's question; a handler's request has none. */
    bool asks;
    const char *file, *user, *password;
    struct slice *variables; /* NULL: none */
    uint32_t variable_count;
};

/* Takes a copy of the bytes into the arena. False: they are not whole, or memory is out. */
bool parcel_unpack(struct parcel *p, struct arena *arena, struct slice bytes);

/* Status, type and headers that a handler has set. False: out of memory. */
bool parcel_pack_head(struct buf *out, const struct http_response *res);

/* Into a response, from the front of *bytes, which moves behind. False: not whole, or memory is out. */
bool parcel_unpack_head(struct slice *bytes, struct http_response *res, struct arena *arena);

/*
 * In front of output that is on its way back: of a response that is streamed, and with a head before the bytes. part_of_head: the bytes
 * are the beginning of one that is too large for a message; the next one goes on with it.
 */
struct parcel_output {
    struct parcel_id id;
    uint32_t is_stream, has_head, part_of_head, unused;
};

/* In front of a job's end: the reason of its failure, a head and the last bytes follow. */
/* In place of an outcome: there was no room. */
enum { PARCEL_REFUSED = -1 };
struct parcel_end {
    struct parcel_id id;
    int32_t outcome, result;
    uint32_t is_stream, has_head, reason_bytes;
    /* For a thread, and on it; 0: it has not run. */
    uint32_t waited_us, ran_us, unused;
};

/* Output has been taken, so many bytes. */
struct parcel_taken {
    struct parcel_id id;
    uint64_t bytes;
};

/* Whoever has a thread of that pool asks for the request that has waited longest, since before that time; and an answer: there is none. */
struct parcel_ask {
    uint64_t before_us;
    uint32_t pool, unused;
};

/* Nobody waits for the job any more; given up, nor does anybody let it end in its time; taken back, it has not begun. */
enum parcel_why { PARCEL_CLIENT_GONE, PARCEL_GIVEN_UP, PARCEL_TAKEN_BACK };
struct parcel_leave {
    struct parcel_id id;
    uint64_t why;
};

/* A structure from the front of *bytes, which moves behind. False: it is not whole. */
bool parcel_take(struct slice *bytes, void *to, size_t len);

#endif
