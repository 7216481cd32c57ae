/*
 * modules/sqlite.c - answers a parameterised, read-only SQL query as JSON.
 *
 *     handler sqlite database=/srv/shop.db "query=select id, name from item where shop = :shop" [busy_timeout=5000];
 *
 * Parameters of the statement (:name, @name, $name) come from the query string by name and are bound as text, never
 * pasted into SQL. The answer is an array with one object for each row. Each thread has a connection of its own, with the
 * statement prepared.
 */
#include "modules/json.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUSY_TIMEOUT_MS = 5000, PROGRESS_STEPS = 20000, HTTP_BAD_REQUEST = 400, HTTP_ERROR = 500 };

struct session {
    sqlite3 *db;
    sqlite3_stmt *statement;
};

struct query {
    char *database, *sql;
    int busy_timeout_ms;
};

static void close_session(void *state)
{
    struct session *s = state;
    sqlite3_finalize(s->statement);
    sqlite3_close(s->db);
    free(s);
}

/* An open connection with the statement prepared; NULL with a sentence in why. */
static struct session *open_session(const struct query *q, char *why, size_t why_bytes)
{
    struct session *s = calloc(1, sizeof *s);
    const char *rest = "";
    if (!s) {
        snprintf(why, why_bytes, "out of memory");
        return NULL;
    }
    int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(q->database, &s->db, flags, NULL) != SQLITE_OK ||
        sqlite3_busy_timeout(s->db, q->busy_timeout_ms) != SQLITE_OK ||
        sqlite3_prepare_v2(s->db, q->sql, -1, &s->statement, &rest) != SQLITE_OK) {
        snprintf(why, why_bytes, "%s: %s", q->database, sqlite3_errmsg(s->db));
    } else if (!s->statement || rest[strspn(rest, " \t\r\n;")]) {
        snprintf(why, why_bytes, "query must be exactly one SQL statement");
    } else if (!sqlite3_stmt_readonly(s->statement) || sqlite3_column_count(s->statement) == 0) {
        snprintf(why, why_bytes, "query must only read: write a select");
    } else {
        return s;
    }
    close_session(s);
    return NULL;
}

static void *begin_thread(void *settings, char *error, size_t error_bytes)
{
    return open_session(settings, error, error_bytes);
}

static void free_query(void *settings)
{
    struct query *q = settings;
    free(q->database);
    free(q->sql);
    free(q);
}

static int read_setting(struct query *q, const struct weir_setting *s, char *error, size_t error_bytes)
{
    char *end;
    if (strcmp(s->key, "database") == 0 && !q->database) {
        q->database = strdup(s->value);
    } else if (strcmp(s->key, "query") == 0 && !q->sql) {
        q->sql = strdup(s->value);
    } else if (strcmp(s->key, "busy_timeout") == 0) {
        long ms = strtol(s->value, &end, 10);
        q->busy_timeout_ms = (int)ms;
        if (*end || ms < 0 || ms > 3600000) {
            snprintf(error, error_bytes, "busy_timeout is in milliseconds, from 0 to 3600000");
            return -1;
        }
    } else {
        snprintf(error, error_bytes,
                 "unknown or repeated setting \"%s\"; there are database, query, busy_timeout", s->key);
        return -1;
    }
    return 0;
}

/* The statement is prepared once here, so that a typing error is found before anybody asks. */
static void *init(const struct weir_setting *settings, char *error, size_t error_bytes)
{
    struct query *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    q->busy_timeout_ms = BUSY_TIMEOUT_MS;
    int bad = 0;
    for (; settings->key && !bad; settings++)
        bad = read_setting(q, settings, error, error_bytes);
    if (!bad && (!q->database || !q->sql)) {
        snprintf(error, error_bytes, "it needs database=FILE and query=SQL");
        bad = 1;
    }
    struct session *s = bad ? NULL : open_session(q, error, error_bytes);
    if (!s) {
        free_query(q);
        return NULL;
    }
    close_session(s);
    return q;
}

static void write_blob(weir_request *r, const unsigned char *data, int len)
{
    weir_puts(r, "\"");
    for (int i = 0; i < len; i++)
        weir_printf(r, "%02x", data[i]);
    weir_puts(r, "\"");
}

static void write_double(weir_request *r, double value)
{
    char text[40];
    sqlite3_snprintf(sizeof text, text, "%!.15g", value);
    if (strtod(text, NULL) != value)
        sqlite3_snprintf(sizeof text, text, "%!.17g", value);
    weir_puts(r, value - value == 0 ? text : "null"); /* JSON has no infinities */
}

static void write_column(weir_request *r, sqlite3_stmt *s, int i)
{
    switch (sqlite3_column_type(s, i)) {
    case SQLITE_INTEGER:
        weir_printf(r, "%lld", (long long)sqlite3_column_int64(s, i));
        break;
    case SQLITE_FLOAT:
        write_double(r, sqlite3_column_double(s, i));
        break;
    case SQLITE_TEXT:
        json_write_text(r, (const char *)sqlite3_column_text(s, i), (size_t)sqlite3_column_bytes(s, i));
        break;
    case SQLITE_BLOB:
        write_blob(r, sqlite3_column_blob(s, i), sqlite3_column_bytes(s, i));
        break;
    default:
        weir_puts(r, "null");
    }
}

static void write_row(weir_request *r, sqlite3_stmt *s, int first)
{
    weir_puts(r, first ? "{" : ",\n{");
    for (int i = 0; i < sqlite3_column_count(s); i++) {
        const char *name = sqlite3_column_name(s, i);
        if (i)
            weir_puts(r, ",");
        json_write_text(r, name, strlen(name));
        weir_puts(r, ":");
        write_column(r, s, i);
    }
    weir_puts(r, "}");
}

/* Binds every parameter. Returns the name of the first that the client did not give, or NULL. */
static const char *bind_parameters(weir_request *r, sqlite3_stmt *s)
{
    for (int i = 1; i <= sqlite3_bind_parameter_count(s); i++) {
        const char *name = sqlite3_bind_parameter_name(s, i);
        struct weir_field f;
        if (!name || !weir_find_arg(r, name + 1, &f))
            return name ? name + 1 : "?";
        /* It lives as long as the request. */
        sqlite3_bind_text(s, i, f.value, (int)f.value_bytes, SQLITE_STATIC);
    }
    return NULL;
}

/* A statement that nobody waits for any more is interrupted. */
static int on_progress(void *r)
{
    return weir_client_gone(r);
}

static int answer_rows(weir_request *r, struct session *s)
{
    int rows = 0, rc;
    while ((rc = sqlite3_step(s->statement)) == SQLITE_ROW) {
        if (rows == 0)
            weir_puts(r, "[");
        write_row(r, s->statement, rows++ == 0);
    }
    if (rc == SQLITE_DONE)
        return weir_puts(r, rows ? "]\n" : "[]\n") < 0;
    if (!weir_client_gone(r))
        weir_log(r, WEIR_LOG_ERROR, "%s", sqlite3_errmsg(s->db));
    return rows ? HTTP_ERROR : json_answer_error(r, HTTP_ERROR, sqlite3_errmsg(s->db));
}

static int run_query(weir_request *r)
{
    char why[256];
    struct session *s = weir_thread(r);
    weir_set_header(r, "Content-Type", "application/json");
    sqlite3_progress_handler(s->db, PROGRESS_STEPS, on_progress, r);
    const char *missing = bind_parameters(r, s->statement);
    snprintf(why, sizeof why, "parameter \"%s\" is missing", missing ? missing : "");
    int result = missing ? json_answer_error(r, HTTP_BAD_REQUEST, why) : answer_rows(r, s);
    sqlite3_progress_handler(s->db, 0, NULL, NULL);
    sqlite3_reset(s->statement);
    sqlite3_clear_bindings(s->statement);
    return result;
}

static const struct weir_handler handlers[] = {{.name = "sqlite",
                                                .run = run_query,
                                                .init = init,
                                                .free = free_query,
                                                .thread_init = begin_thread,
                                                .thread_free = close_session},
                                               {0}};

WEIR_MODULE(handlers);
