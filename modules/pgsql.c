/*
 * modules/pgsql.c - answers a query of PostgreSQL with named parameters as JSON.
 *
 *     handler pgsql "connection=host=/run/postgresql dbname=shop" "query=select id, name from item where shop = :shop"
 *             [path=/shops/:shop/items] [write=on];
 *
 * Parameters come from the path, the query string, a form or the top of a JSON object, and are sent beside the statement, never
 * pasted into it. Each thread has a connection of its own with the statement prepared. Rows go out as they come, one object each.
 * When nobody waits any more, the server is asked to stop (PQcancel); its statement_timeout stands behind that.
 */
#include "modules/json.h"
#include "modules/sql_names.h"

#include <libpq-fe.h>

#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    HTTP_BAD_REQUEST = 400,
    HTTP_NOT_FOUND = 404,
    HTTP_CONFLICT = 409,
    HTTP_ERROR = 500,
    HTTP_UNAVAILABLE = 503,
    HTTP_LATE = 504,
    WHY_BYTES = 512,
    CANCEL_PAUSE_MAX_MS = 160,
    TIMEOUT_STEPS = 8
};

/* Types whose texts are JSON already (pg_type.dat). */
enum {
    OID_BOOL = 16,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_OID = 26,
    OID_JSON = 114,
    OID_FLOAT4 = 700,
    OID_FLOAT8 = 701,
    OID_NUMERIC = 1700,
    OID_JSONB = 3802
};

/* The settings of a location. */
struct query {
    char *connection, *path;
    struct sql_names sql;
    bool writes;
};

/* A thread's. */
struct session {
    const struct query *query;
    PGconn *db; /* NULL: not connected */
    PGcancel *cancel;
    int64_t timeout_ms; /* statement_timeout as the server has it */
    atomic_bool asks;   /* the statement is with the server */
};

/* --- the connection --- */

static void disconnect(struct session *s)
{
    PQfreeCancel(s->cancel);
    PQfinish(s->db);
    s->cancel = NULL;
    s->db = NULL;
    s->timeout_ms = 0;
}

static void drop_notice(void *arg, const PGresult *result)
{
    (void)arg, (void)result;
}

static bool succeeds(PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    PQclear(result);
    return status == PGRES_COMMAND_OK;
}

static bool prepare(struct session *s)
{
    static const char body[] = "select key, value from json_each_text($1::json)";
    PGconn *db = s->db;
    return (s->query->writes || succeeds(PQexec(db, "set default_transaction_read_only = on"))) &&
           succeeds(PQprepare(db, "query", s->query->sql.text, 0, NULL)) &&
           succeeds(PQprepare(db, "body", body, 1, NULL));
}

/* What stands before "dbname" the configuration may have otherwise; JSON is UTF-8. */
static PGconn *open_connection(const struct query *q)
{
    static const char *const keys[] = {
        "connect_timeout",           "keepalives_idle", "keepalives_interval", "keepalives_count",
        "fallback_application_name", "dbname",          "client_encoding",     NULL};
    const char *values[] = {"5", "30", "10", "3", "weir", q->connection, "UTF8", NULL};
    return PQconnectdbParams(keys, values, 1);
}

/* 0, or the status of an error, whose reason is in the log. */
static int connect_again(struct session *s, weir_request *r)
{
    disconnect(s);
    s->db = open_connection(s->query);
    PQsetNoticeReceiver(s->db, drop_notice, NULL);
    bool reached = PQstatus(s->db) == CONNECTION_OK;
    if (reached && prepare(s)) {
        s->cancel = PQgetCancel(s->db);
        return 0;
    }
    reached = reached && PQstatus(s->db) == CONNECTION_OK;
    weir_log(r, WEIR_LOG_ERROR, "%s", PQerrorMessage(s->db));
    disconnect(s);
    return reached ? HTTP_ERROR : HTTP_UNAVAILABLE;
}

/* Whether the kept connection still stands: a server that went away has said so, or closed. */
static bool is_connected(const struct session *s)
{
    struct pollfd fd = {.fd = s->db ? PQsocket(s->db) : -1, .events = POLLIN};
    while (s->db && PQstatus(s->db) == CONNECTION_OK && poll(&fd, 1, 0) > 0)
        if (!PQconsumeInput(s->db))
            return false;
    return s->db && PQstatus(s->db) == CONNECTION_OK;
}

/* In steps of an eighth: most requests find the one that the server has. */
static int64_t rounded_up(int64_t ms)
{
    int64_t step = 1;
    while (step * 2 * TIMEOUT_STEPS <= ms)
        step *= 2;
    return (ms + step - 1) / step * step;
}

/* The server gives up by itself when the time is over, also if we are not there any more. */
static bool set_timeout(struct session *s, weir_request *r)
{
    char text[64];
    int64_t left_ms = weir_time_left_ms(r), wanted_ms = left_ms >= INT32_MAX ? 0 : rounded_up(left_ms + 1);
    if (wanted_ms == s->timeout_ms)
        return true;
    snprintf(text, sizeof text, "set statement_timeout = %lld", (long long)wanted_ms);
    if (!succeeds(PQexec(s->db, text)))
        return false;
    s->timeout_ms = wanted_ms;
    return true;
}

static void *begin_thread(void *settings, char *error, size_t error_bytes)
{
    struct session *s = calloc(1, sizeof *s);
    if (!s)
        snprintf(error, error_bytes, "out of memory");
    else
        s->query = settings;
    return s;
}

static void end_thread(void *state)
{
    disconnect(state);
    free(state);
}

/*
 * On a thread of its own. A server that has not begun with the query yet ignores it: it is asked again until there is an end. Where
 * it cannot be reached, its own timeout stands.
 */
static void cancel_query(void *arg)
{
    struct session *s = arg;
    char why[256];
    for (int pause_ms = 5; s->asks; pause_ms = pause_ms < CANCEL_PAUSE_MAX_MS ? 2 * pause_ms : pause_ms) {
        PQcancel(s->cancel, why, sizeof why);
        poll(NULL, 0, pause_ms);
    }
}

/* --- parameters --- */

/* The values by number; found says which are there, as NULL is a value of JSON. */
struct values {
    const char *text[SQL_NAMES_MAX];
    bool found[SQL_NAMES_MAX];
};

static void set_value(const struct query *q, struct values *v, const char *name, size_t bytes,
                      const char *value)
{
    for (int i = 0; i < q->sql.count; i++)
        if (strlen(q->sql.names[i]) == bytes && memcmp(q->sql.names[i], name, bytes) == 0) {
            v->text[i] = value;
            v->found[i] = true;
        }
}

static size_t segment(const char *s)
{
    return strcspn(s, "/");
}

/* By segments: ":name" takes one that is not empty. False: it is another path. */
static bool take_path(const struct query *q, weir_request *r, struct values *v)
{
    const char *pattern = q->path, *path = weir_path(r);
    while (pattern && *pattern) {
        size_t wanted = segment(pattern), there = segment(path);
        if (pattern[0] == ':' && there > 0) {
            char *value = weir_alloc(r, there + 1);
            memcpy(value, path, there);
            value[there] = '\0';
            set_value(q, v, pattern + 1, wanted - 1, value);
        } else if (wanted != there || memcmp(pattern, path, wanted) != 0) {
            return false;
        }
        pattern += wanted;
        path += there;
        if (*pattern != *path)
            return false;
        pattern += *pattern == '/';
        path += *path == '/';
    }
    return !pattern || *path == '\0';
}

static bool is_json(weir_request *r)
{
    static const char wanted[] = "application/json";
    const char *type = weir_header(r, "Content-Type");
    size_t bytes = type ? strcspn(type, "; \t") : 0;
    return bytes == sizeof wanted - 1 && strncasecmp(type, wanted, bytes) == 0;
}

/* Read by the database itself: so numbers keep all of their digits. Returns its answer, which the values lie in. */
static PGresult *take_json(struct session *s, weir_request *r, struct values *v)
{
    size_t bytes;
    const char *body = weir_body(r, &bytes);
    char *text = weir_alloc(r, bytes + 1);
    memcpy(text, body, bytes);
    text[bytes] = '\0';
    const char *const values[] = {strlen(text) == bytes ? text : "\\0"}; /* a zero inside is no JSON */
    PGresult *fields = PQexecPrepared(s->db, "body", 1, values, NULL, NULL, 0);
    for (int i = 0; PQresultStatus(fields) == PGRES_TUPLES_OK && i < PQntuples(fields); i++)
        set_value(s->query, v, PQgetvalue(fields, i, 0), (size_t)PQgetlength(fields, i, 0),
                  PQgetisnull(fields, i, 1) ? NULL : PQgetvalue(fields, i, 1));
    return fields;
}

static void take_others(const struct query *q, weir_request *r, struct values *v)
{
    for (int i = 0; i < q->sql.count; i++) {
        const char *value = v->found[i] ? NULL : weir_arg(r, q->sql.names[i]);
        if (!value && !v->found[i])
            value = weir_form(r, q->sql.names[i]);
        if (value)
            set_value(q, v, q->sql.names[i], strlen(q->sql.names[i]), value);
    }
}

static const char *missing_name(const struct query *q, const struct values *v)
{
    for (int i = 0; i < q->sql.count; i++)
        if (!v->found[i])
            return q->sql.names[i];
    return NULL;
}

/* --- the answer --- */

static void write_value(weir_request *r, const PGresult *row, int column)
{
    const char *text = PQgetvalue(row, 0, column);
    size_t bytes = (size_t)PQgetlength(row, 0, column);
    if (PQgetisnull(row, 0, column)) {
        weir_puts(r, "null");
        return;
    }
    switch (PQftype(row, column)) {
    case OID_BOOL:
        weir_puts(r, text[0] == 't' ? "true" : "false");
        break;
    case OID_FLOAT4:
    case OID_FLOAT8:
    case OID_NUMERIC:
        /* JSON has neither NaN nor Infinity. */
        weir_puts(r, strpbrk(text, "NI") ? "null" : text);
        break;
    case OID_INT2:
    case OID_INT4:
    case OID_INT8:
    case OID_OID:
    case OID_JSON:
    case OID_JSONB:
        weir_write(r, text, bytes);
        break;
    default:
        json_write_text(r, text, bytes);
    }
}

static void write_row(weir_request *r, const PGresult *row, bool first)
{
    weir_puts(r, first ? "[{" : ",\n{");
    for (int i = 0; i < PQnfields(row); i++) {
        const char *name = PQfname(row, i);
        if (i)
            weir_puts(r, ",");
        json_write_text(r, name, strlen(name));
        weir_puts(r, ":");
        write_value(r, row, i);
    }
    weir_puts(r, "}");
}

/* What an SQLSTATE (appendix A of the manual) means to a client: its own mistakes are told, the server's are logged. */
static int answer_failure(weir_request *r, const PGresult *result, const PGconn *db, bool has_begun)
{
    const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    const char *says = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    bool is_clients = state && (strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0);
    bool is_late = state && strcmp(state, "57014") == 0; /* query_canceled */
    if (!is_clients && !weir_client_gone(r))
        weir_log(r, WEIR_LOG_ERROR, "%s", says ? says : PQerrorMessage(db));
    if (has_begun)
        return HTTP_ERROR;
    if (is_clients)
        return json_answer_error(r, state[1] == '3' ? HTTP_CONFLICT : HTTP_BAD_REQUEST, says ? says : state);
    return is_late ? json_answer_error(r, HTTP_LATE, "the query took too long")
                   : json_answer_error(r, HTTP_ERROR, "the query failed");
}

/* It shuts down, or is gone: another try may find it, or its successor. */
static bool is_end_of_server(const PGresult *result, const PGconn *db)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    return PQstatus(db) != CONNECTION_OK || (state && strncmp(state, "57P", 3) == 0);
}

/* Rows as they come; then what the server has to say besides. *sent: something of an answer is written. */
static int answer_rows(struct session *s, weir_request *r, bool *sent)
{
    int result = 0;
    bool any = false;
    for (PGresult *one; (one = PQgetResult(s->db)); PQclear(one)) {
        ExecStatusType status = PQresultStatus(one);
        if (status == PGRES_SINGLE_TUPLE) {
            write_row(r, one, !any);
            any = *sent = true;
        } else if (status == PGRES_TUPLES_OK) {
            weir_puts(r, any ? "]\n" : "[]\n");
            *sent = true;
        } else if (status == PGRES_COMMAND_OK) {
            const char *rows = PQcmdTuples(one);
            weir_printf(r, "{\"rows\":%s}\n", rows[0] ? rows : "0");
            *sent = true;
        } else if (any || !is_end_of_server(one, s->db)) {
            result = answer_failure(r, one, s->db, any);
            *sent = true;
        }
        if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT) { /* it would go on for ever */
            PQclear(one);
            break;
        }
    }
    return result;
}

/* --- a request --- */

/* The statement is with the server. Every result is taken, so that the next request finds a clean connection. */
static int ask(struct session *s, weir_request *r, const struct values *v, bool *sent)
{
    int result = 0;
    s->asks = true;
    weir_on_cancel(r, cancel_query, s);
    if (PQsendQueryPrepared(s->db, "query", s->query->sql.count, v->text, NULL, NULL, 0) &&
        PQsetSingleRowMode(s->db))
        result = answer_rows(s, r, sent);
    s->asks = false;
    weir_on_cancel(r, NULL, NULL);
    if (PQtransactionStatus(s->db) == PQTRANS_ACTIVE)
        disconnect(s);
    return result;
}

/* *sent false: the connection broke before there was an answer. */
static int try_query(struct session *s, weir_request *r, struct values *v, bool *sent)
{
    char why[WHY_BYTES];
    PGresult *fields = NULL;
    int result = 0;
    if (is_json(r))
        fields = take_json(s, r, v);
    bool broken = PQstatus(s->db) != CONNECTION_OK;
    if (fields && !broken && PQresultStatus(fields) != PGRES_TUPLES_OK) {
        result = json_answer_error(r, HTTP_BAD_REQUEST, "the body is no JSON object");
        *sent = true;
    } else if (!broken) {
        take_others(s->query, r, v);
        const char *missing = missing_name(s->query, v);
        snprintf(why, sizeof why, "parameter \"%s\" is missing", missing ? missing : "");
        *sent = missing != NULL;
        result = missing ? json_answer_error(r, HTTP_BAD_REQUEST, why) : 0;
        if (!missing && set_timeout(s, r))
            result = ask(s, r, v, sent);
    }
    PQclear(fields);
    return result;
}

/*
 * A connection that breaks under a query is made anew, and the query asked again, once, where it only reads: of one that writes
 * nobody knows whether it was done.
 */
static int run(weir_request *r)
{
    struct session *s = weir_thread(r);
    bool sent = false;
    int result = 0;
    struct values v = {0};
    if (!take_path(s->query, r, &v))
        return HTTP_NOT_FOUND;
    weir_set_header(r, "Content-Type", "application/json");
    for (int tries = 0; tries < (s->query->writes ? 1 : 2) && !sent && !weir_client_gone(r); tries++) {
        int failed = is_connected(s) ? 0 : connect_again(s, r);
        if (failed)
            return json_answer_error(
                r, failed, failed == HTTP_ERROR ? "the query failed" : "the database cannot be reached");
        result = try_query(s, r, &v, &sent);
    }
    if (!sent && !weir_client_gone(r)) {
        weir_log(r, WEIR_LOG_ERROR, "%s", PQerrorMessage(s->db));
        return json_answer_error(r, HTTP_ERROR, "the connection to the database broke");
    }
    return result;
}

/* --- settings --- */

static void free_query(void *settings)
{
    struct query *q = settings;
    free(q->connection);
    free(q->path);
    sql_names_free(&q->sql);
    free(q);
}

static bool refuse(char *error, size_t bytes, const char *format, const char *what)
{
    snprintf(error, bytes, format, what);
    return false;
}

static bool take_connection(struct query *q, const char *value, char *error, size_t bytes)
{
    char *why = NULL;
    PQconninfoOption *options = PQconninfoParse(value, &why);
    bool ok = options != NULL;
    if (!ok)
        refuse(error, bytes, "invalid connection: %s", why ? why : "out of memory");
    error[strcspn(error, "\n")] = '\0';
    PQconninfoFree(options);
    PQfreemem(why);
    q->connection = ok ? strdup(value) : NULL;
    return q->connection != NULL;
}

static bool take_setting(struct query *q, const struct weir_setting *w, char *error, size_t bytes)
{
    if (strcmp(w->key, "connection") == 0 && !q->connection)
        return take_connection(q, w->value, error, bytes);
    if (strcmp(w->key, "query") == 0 && !q->sql.text) {
        q->sql = sql_names_read(w->value);
        return q->sql.text || refuse(error, bytes, "invalid query: %s", q->sql.error);
    }
    if (strcmp(w->key, "path") == 0 && !q->path && w->value[0] == '/') {
        q->path = strdup(w->value);
        return q->path != NULL;
    }
    if (strcmp(w->key, "write") == 0 && (strcmp(w->value, "on") == 0 || strcmp(w->value, "off") == 0)) {
        q->writes = w->value[1] == 'n';
        return true;
    }
    return refuse(
        error, bytes,
        "unknown, repeated or wrong setting \"%s\"; there are connection, query, path=/..., write=on|off",
        w->key);
}

/* Nothing is asked here: a database that is away must not keep the server from starting. */
static void *init(const struct weir_setting *settings, char *error, size_t error_bytes)
{
    struct query *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    bool ok = true;
    for (; ok && settings->key; settings++)
        ok = take_setting(q, settings, error, error_bytes);
    if (ok && (!q->connection || !q->sql.text))
        ok = refuse(error, error_bytes, "it needs %s", "connection=WORDS and query=SQL");
    if (ok)
        return q;
    free_query(q);
    return NULL;
}

static const struct weir_handler handlers[] = {{.name = "pgsql",
                                                .run = run,
                                                .init = init,
                                                .free = free_query,
                                                .thread_init = begin_thread,
                                                .thread_free = end_thread},
                                               {0}};

WEIR_MODULE(handlers);
