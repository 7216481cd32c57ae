/*
 * <weir/handler.h> - writing a handler: a function that may block, served over HTTP.
 *
 * A handler is a function that gets a request and answers it. It runs on a thread of a pool, so it may call a
 * database, read a cold file or sleep: nobody waits for it but its own client. Everything that it reaches through
 * its weir_request is its own for the time of the call; what it shares between requests it must lock itself.
 *
 * Ownership: texts that a call returns belong to the request and live until run returns. Texts that are passed in are
 *            copied.
 * Threads:   weir_* calls are for the thread that runs the request, from any depth below run.
 * Errors:    each call says. Out of memory ends the request as failed (500), so no call returns NULL for it.
 */
#ifndef WEIR_HANDLERS_HANDLER_H
#define WEIR_HANDLERS_HANDLER_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
#define WEIR_EXTERN_C extern "C"
extern "C" {
#else
#define WEIR_EXTERN_C extern
#endif

/* Grows when a module built against an older header could not run any more; checked when a module is loaded. */
#define WEIR_HANDLER_ABI 3

typedef struct weir_request weir_request;

/* One key=value of the handler's line in the configuration. */
struct weir_setting {
    const char *key;
    const char *value;
};

struct weir_handler {
    const char *name; /* as in "handler NAME;" */

    /*
     * Answers one request. Returns 0 when it has answered (200 if it set no status), or an HTTP status from 400 to
     * 599 to have the server's error page sent instead of what it wrote so far. Anything else (-1, 1, 200) is a mistake:
     * the client gets 500, and the error log says what was returned. Once an answer is streamed (weir_flush, or more
     * than 64 KiB), anything but 0 cuts it off.
     */
    int (*run)(weir_request *r);

    /*
     * Checks the settings of one location and makes what weir_settings returns. settings ends with a NULL key. Called
     * while the configuration is read, in the master, before any worker is forked: it must not start threads nor keep
     * connections open. On a mistake it writes a sentence with the remedy into error (at most error_bytes with its
     * zero) and returns NULL. May be NULL: then any setting is an error, and weir_settings returns NULL.
     */
    void *(*init)(const struct weir_setting *settings, char *error, size_t error_bytes);

    /* Frees what init returned. May be NULL. */
    void (*free)(void *settings);

    /*
     * The variables of the configuration that run wants to read with weir_variable, without "$" ("remote_user", a map's), ended
     * by NULL. They are looked up when the request comes to the handler. One that does not exist is an error of the
     * configuration. May be NULL: none.
     */
    const char *const *variables;

    /*
     * What a thread keeps from request to request: a connection, an interpreter. Called before the first run of each thread in
     * each location, on that thread; it may block. settings is what init returned. weir_thread gives what it returns. On an error it
     * writes a sentence into error and returns NULL: the request ends with 500, the next one tries again. May be NULL.
     */
    void *(*thread_init)(void *settings, char *error, size_t error_bytes);

    /*
     * Frees that when the thread ends: it was idle for long, the pool shrinks, weir_fail took it down, or the worker ends. On that
     * thread; what init returned is still there. An ending worker waits for it half a second, and not at all where a handler is left
     * behind past its time. May be NULL.
     */
    void (*thread_free)(void *state);

    /*
     * 1: run is called while the body still comes, and reads it by weir_read. A slow client keeps its thread then, and its permit of
     * limit_concurrency: client_body_min_rate bounds that.
     */
    int streams_body;
};

struct weir_module {
    unsigned abi;                        /* WEIR_HANDLER_ABI */
    const struct weir_handler *handlers; /* ends with a NULL name */
};

/* Declares a module; stands once in one of its source files. */
#define WEIR_MODULE(list)                                                                      \
    WEIR_EXTERN_C __attribute__((visibility("default"))) const struct weir_module weir_module; \
    const struct weir_module weir_module = {WEIR_HANDLER_ABI, (list)}

/* --- the request --- */

/* "GET", "POST", ... */
const char *weir_method(weir_request *r);

/* The path: decoded, normalised, without the query string. */
const char *weir_path(weir_request *r);

/* The query string as received, without "?"; "" when there is none. */
const char *weir_query(weir_request *r);

/* An argument of the query string, decoded; NULL when it is not there. The first of several. */
const char *weir_arg(weir_request *r, const char *name);

/* A header's value, NULL when it is not there. Names match in any case; the first of several. */
const char *weir_header(weir_request *r, const char *name);

/*
 * One of several named values. Name and value end with a zero; a value that was decoded may have others inside. next is the
 * walk's own: begin with a zeroed field,
 *
 *     struct weir_field f = {0};
 *     while (weir_next_arg(r, &f) > 0)
 *         weir_printf(r, "%s is %s\n", f.name, f.value);
 */
struct weir_field {
    const char *name, *value;
    size_t name_bytes, value_bytes;
    size_t next;
};

/* The next header in the order received, its name as written. 1, or 0 when there is none. */
int weir_next_header(weir_request *r, struct weir_field *f);

/* The next argument of the query string, decoded; one without "=" has the value "". 1, or 0 when there is none. */
int weir_next_arg(weir_request *r, struct weir_field *f);

/*
 * The next field of a form in the body (application/x-www-form-urlencoded, decoded, or multipart/form-data, without its
 * files). 1, 0 when there is none, -1 when the body is no form, or broken here.
 */
int weir_next_form(weir_request *r, struct weir_field *f);

/*
 * One part of a form in the body that is multipart/form-data (RFC 7578): a field, or a file. data is a piece of the body, not
 * ended by a zero; the texts are. A client chooses the filename: it is no path to be used. Walk as over fields.
 */
struct weir_part {
    const char *name;
    const char *filename; /* NULL: a field */
    /* Content-Type, "text/plain" where the part has none. */
    const char *type;
    const void *data;
    size_t bytes;
    size_t next;
};

/* The next part. 1, 0 when there is none, -1 when the body is no such form, or broken here. */
int weir_next_part(weir_request *r, struct weir_part *part);

/* The next cookie, as sent: nothing is decoded. 1, or 0 when there is none. */
int weir_next_cookie(weir_request *r, struct weir_field *f);

/* The first argument, or form field, of that name, with its length; names in the case given. 1, or 0 when it is not there. */
int weir_find_arg(weir_request *r, const char *name, struct weir_field *f);
int weir_find_form(weir_request *r, const char *name, struct weir_field *f);

/* The first of that name, NULL when it is not there; names in the case given. */
const char *weir_form(weir_request *r, const char *name);
const char *weir_cookie(weir_request *r, const char *name);

/* The value of a variable that the handler has named in its variables; NULL for another, or without a value. */
const char *weir_variable(weir_request *r, const char *name);

/*
 * The body, read whole before run is called; *len is in bytes. Never NULL. A large one is a mapped file. Empty for a handler with
 * streams_body.
 */
const void *weir_body(weir_request *r, size_t *len);

/*
 * The next bytes of the body, for a handler with streams_body: waits until there are some, and returns how many, at most `bytes`; 0 at
 * the end of the body; -1 where its rest will not come (the client left, its time is over, it sent too much or nonsense), or the answer
 * has begun to go out (weir_flush, or more than 64 KiB): read first. What is not read is dropped when run returns. No more than about
 * 256 KiB are ahead of the handler: the client waits. For another handler it returns -1.
 */
ssize_t weir_read(weir_request *r, void *buffer, size_t bytes);

/* The client's address, "127.0.0.1" or "::1" or "unix:". */
const char *weir_client(weir_request *r);

/* What init returned for this location. */
void *weir_settings(weir_request *r);

/* What thread_init returned on this thread for this location; NULL without one. */
void *weir_thread(weir_request *r);

/* Milliseconds left until the client is told 504; INT64_MAX without a bound, 0 when it is over. */
int64_t weir_time_left_ms(weir_request *r);

/* The same as a point in time: milliseconds of CLOCK_MONOTONIC; INT64_MAX without a bound. */
int64_t weir_deadline_ms(weir_request *r);

/* 1 once the answer has become useless: the client left, or the time is over. A long handler asks now and then. */
int weir_client_gone(weir_request *r);

/*
 * The same as a call, for a handler that waits inside of a library: cancelled(arg) is called once when the answer has become
 * useless, at once if it is. It runs on another thread, and may block: PQcancel, sqlite3_interrupt. It must not use r. Another
 * cancelled takes its place, NULL ends it: when this returns, the earlier one is not called any more, and a call that had begun has
 * returned. So is it with weir_fail. What arg points to must be there until then: before a variable of run goes, say NULL. Where run
 * returns without that, it is ended just behind it. 0, or -1 where there is no memory for it.
 */
int weir_on_cancel(weir_request *r, void (*cancelled)(void *arg), void *arg);

/* Memory that lives as long as the request; aligned for any type, not zeroed. */
void *weir_alloc(weir_request *r, size_t bytes);

/* --- the answer --- */

/* 200 if never called. Range 200 to 599; 0 when it was taken, -1 outside of it or after weir_flush. */
int weir_set_status(weir_request *r, int status);

/*
 * Sets Content-Type, or adds any other header. -1 for a name that is no token, a value with control bytes, a header
 * that belongs to the server (Content-Length, Transfer-Encoding, Connection and its kin, Date, Server), or after weir_flush.
 */
int weir_set_header(weir_request *r, const char *name, const char *value);

/*
 * Appends to the body. Up to 64 KiB are kept and sent as a whole; beyond, the answer is streamed while the handler
 * goes on, and a handler that is more than 1 MiB ahead of its client waits here. 0, or -1 once the client is gone.
 */
int weir_write(weir_request *r, const void *data, size_t bytes);
int weir_puts(weir_request *r, const char *text);
int weir_printf(weir_request *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Sends what was written so far without waiting for more. 0, or -1 once the client is gone. */
int weir_flush(weir_request *r);

/*
 * One event of a stream of events (text/event-stream, WHATWG HTML section 9.2), sent at once. The first one sets Content-Type,
 * and Cache-Control to no-cache. event and id may be NULL, and have no ends of lines; data may have several lines. With data NULL it is
 * a comment, which keeps what stands between awake. A client that comes again says in the header Last-Event-ID where it was.
 * 0, or -1: the client is gone, or a text is wrong.
 */
int weir_event(weir_request *r, const char *event, const char *id, const char *data);

/* --- besides --- */

enum weir_log_level { WEIR_LOG_ERROR = 4, WEIR_LOG_WARN, WEIR_LOG_NOTICE, WEIR_LOG_INFO, WEIR_LOG_DEBUG };

/* A line of the error log, with the client and the request behind it. */
void weir_log(weir_request *r, enum weir_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Gives up from any depth: the thread's cleanup handlers run, the client gets 500, reason goes to the error log. The
 * reason must be a literal or otherwise outlive the request.
 *
 * C++: it unwinds the stack, so destructors run; a catch (...) on the way has to throw on. An exception of the handler's own
 * must not leave run.
 */
__attribute__((noreturn)) void weir_fail(weir_request *r, const char *reason);

#ifdef __cplusplus
}
#endif

#endif
