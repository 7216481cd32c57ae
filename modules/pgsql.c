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
#include "modules/pgsql_rows.h"
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
    CANCEL_TRIES = 50,
    TIMEOUT_STEPS = 8
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
    bool is_prepared;
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
    s->is_prepared = false;
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

/* What a fresh connection needs; it may wait for locks. The result of what failed, or NULL. */
static PGresult *prepare(struct session *s)
{
    static const char body[] = "select key, value from json_each_text($1::json)";
    PGresult *result = NULL;
    for (int step = s->query->writes; step < 3; step++) {
        PQclear(result);
        result = step == 0   ? PQexec(s->db, "set default_transaction_read_only = on")
                 : step == 1 ? PQprepare(s->db, "query", s->query->sql.text, 0, NULL)
                             : PQprepare(s->db, "body", body, 1, NULL);
        if (PQresultStatus(result) != PGRES_COMMAND_OK)
            return result;
    }
    PQclear(result);
    s->is_prepared = true;
    return NULL;
}

/* What stands before "dbname" the configuration may have otherwise; JSON is UTF-8. */
static PGconn *open_connection(const struct query *q, int64_t left_ms)
{
    static const char *const keys[] = {
        "connect_timeout",           "keepalives_idle", "keepalives_interval", "keepalives_count",
        "fallback_application_name", "dbname",          "client_encoding",     NULL};
    /* libpq takes less than 2 s for 2. */
    const char *connect_s = left_ms < 3000 ? "2" : "5";
    const char *values[] = {connect_s, "30", "10", "3", "weir", q->connection, "UTF8", NULL};
    return PQconnectdbParams(keys, values, 1);
}

/* False: why is in the log. */
static bool connect_again(struct session *s, weir_request *r)
{
    disconnect(s);
    s->db = open_connection(s->query, weir_time_left_ms(r));
    PQsetNoticeReceiver(s->db, drop_notice, NULL);
    if (PQstatus(s->db) == CONNECTION_OK) {
        s->cancel = PQgetCancel(s->db);
        return true;
    }
    weir_log(r, WEIR_LOG_ERROR, "%s", PQerrorMessage(s->db));
    disconnect(s);
    return false;
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
    int pause_ms = 5;
    for (int tries = 0; tries < CANCEL_TRIES && s->asks; tries++) {
        PQcancel(s->cancel, why, sizeof why);
        poll(NULL, 0, pause_ms);
        pause_ms = pause_ms < CANCEL_PAUSE_MAX_MS ? 2 * pause_ms : pause_ms;
    }
}

/* --- parameters --- */

/* The values by number; found says which are there, as NULL is a value of JSON. */
struct values {
    const char *text[SQL_NAMES_MAX];
    bool found[SQL_NAMES_MAX];
    bool of_path[SQL_NAMES_MAX]; /* nothing else takes its place */
};

static void set_value(const struct query *q, struct values *v, const char *name, size_t bytes,
                      const char *value)
{
    for (int i = 0; i < q->sql.count; i++)
        if (!v->of_path[i] && strlen(q->sql.names[i]) == bytes && memcmp(q->sql.names[i], name, bytes) == 0) {
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
    bool is_none = false;
    while (pattern && *pattern) {
        size_t wanted = segment(pattern), there = segment(path);
        if (pattern[0] == ':' && there > 0) {
            char *value = weir_alloc(r, there + 1);
            memcpy(value, path, there);
            value[there] = '\0';
            set_value(q, v, pattern + 1, wanted - 1, value);
            is_none |= strlen(value) != there;
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
    memcpy(v->of_path, v->found, sizeof v->of_path);
    return !pattern || (*path == '\0' && !is_none);
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

/* The name of one with a zero inside, which no text of PostgreSQL has; NULL: there is none. */
static const char *take_others(const struct query *q, weir_request *r, struct values *v)
{
    for (int i = 0; i < q->sql.count; i++) {
        const char *name = q->sql.names[i];
        struct weir_field f;
        if (v->found[i] || !(weir_find_arg(r, name, &f) || weir_find_form(r, name, &f)))
            continue;
        if (strlen(f.value) != f.value_bytes)
            return name;
        set_value(q, v, name, strlen(name), f.value);
    }
    return NULL;
}

static const char *missing_name(const struct query *q, const struct values *v)
{
    for (int i = 0; i < q->sql.count; i++)
        if (!v->found[i])
            return q->sql.names[i];
    return NULL;
}

/* --- the answer --- */

static const char *state_of(const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    return state ? state : "";
}

static int status_of(const char *state)
{
    return strncmp(state, "22", 2) == 0   ? HTTP_BAD_REQUEST /* data exception */
           : strncmp(state, "23", 2) == 0 ? HTTP_CONFLICT    /* integrity constraint violation */
           : strcmp(state, "57014") == 0  ? HTTP_LATE        /* query_canceled */
                                          : HTTP_ERROR;
}

/*
 * What an SQLSTATE (appendix A of the manual) means to a client: its own mistakes are told, the server's are logged. Behind the first
 * row there is the server's page at most. Without a result it is the connection's.
 */
static int answer_failure(weir_request *r, const PGresult *result, const PGconn *db, bool has_begun)
{
    const char *says = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    int status = status_of(state_of(result));
    bool is_clients = status == HTTP_BAD_REQUEST || status == HTTP_CONFLICT;
    if (!says)
        says = PQerrorMessage(db)[0] ? PQerrorMessage(db) : PQresStatus(PQresultStatus(result));
    if ((!is_clients || has_begun) && !weir_client_gone(r))
        weir_log(r, WEIR_LOG_ERROR, "%s", says);
    if (has_begun)
        return status;
    return json_answer_error(r, status,
                             is_clients            ? says
                             : status == HTTP_LATE ? "the query took too long"
                                                   : "the query failed");
}

/* The statement is wrong, which the log says, or waited for a lock for too long. */
static int answer_unprepared(weir_request *r, const PGresult *result)
{
    bool is_late = status_of(state_of(result)) == HTTP_LATE;
    return json_answer_error(r, is_late ? HTTP_LATE : HTTP_ERROR,
                             is_late ? "the query took too long" : "the query failed");
}

/* What is prepared on the connection: the statement has not run, and may on another one. */
static bool is_worn_out(const char *state)
{
    return strcmp(state, "0A000") == 0     /* cached plan must not change result type */
           || strcmp(state, "26000") == 0; /* invalid_sql_statement_name */
}

/* Whether another try is worth it, and safe: of a query that writes nobody knows whether it was done when its connection broke. */
static bool may_ask_again(const struct session *s, const PGresult *result)
{
    const char *state = state_of(result);
    /* 57P..: the server shuts down, or starts up. */
    bool is_broken = PQstatus(s->db) != CONNECTION_OK || strncmp(state, "57P", 3) == 0;
    return is_broken ? !s->query->writes : is_worn_out(state);
}

/* What comes of a try. */
struct outcome {
    int result;
    /* There is an answer; else another try is worth it. */
    bool is_over;
    bool has_failed;
};

/* One of the server's results. `last`: it may not be asked again. */
static void take_result(struct session *s, weir_request *r, const PGresult *one, bool last, bool *any,
                        struct outcome *o)
{
    ExecStatusType status = PQresultStatus(one);
    const char *rows = PQcmdTuples((PGresult *)(uintptr_t)one);
    if (o->has_failed)
        return;
    if (status != PGRES_SINGLE_TUPLE && status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        if (!*any && !last && may_ask_again(s, one))
            return;
        o->result = answer_failure(r, one, s->db, *any);
        o->is_over = o->has_failed = true;
        return;
    }
    if (status == PGRES_SINGLE_TUPLE)
        pgsql_write_row(r, one, !*any);
    else if (status == PGRES_TUPLES_OK)
        weir_puts(r, *any ? "]\n" : "[]\n");
    else
        weir_printf(r, "{\"rows\":%s}\n", rows[0] ? rows : "0");
    *any = o->is_over = true;
}

/* Rows as they come; then what the server has to say besides. Every result is taken, so that the next request finds a clean connection. */
static void answer_rows(struct session *s, weir_request *r, bool last, struct outcome *o)
{
    bool any = false, copies = false;
    for (PGresult *one; !copies && (one = PQgetResult(s->db)); PQclear(one)) {
        /* It would go on for ever. */
        copies = PQresultStatus(one) == PGRES_COPY_IN || PQresultStatus(one) == PGRES_COPY_OUT;
        take_result(s, r, one, last, &any, o);
    }
}

/* --- a request --- */

static void answer_missing(weir_request *r, const char *format, const char *name, struct outcome *o)
{
    char why[WHY_BYTES];
    snprintf(why, sizeof why, format, name);
    *o = (struct outcome){.result = json_answer_error(r, HTTP_BAD_REQUEST, why), .is_over = true};
}

static void ask(struct session *s, weir_request *r, struct values *v, bool last, struct outcome *o)
{
    const char *odd = take_others(s->query, r, v), *missing = missing_name(s->query, v);
    if (odd)
        answer_missing(r, "parameter \"%s\" has a zero in it", odd, o);
    else if (missing)
        answer_missing(r, "parameter \"%s\" is missing", missing, o);
    else if (!set_timeout(s, r))
        return; /* it has not been sent */
    else if (PQsendQueryPrepared(s->db, "query", s->query->sql.count, v->text, NULL, NULL, 0) &&
             PQsetSingleRowMode(s->db))
        answer_rows(s, r, last, o);
    else if (s->query->writes)
        *o = (struct outcome){.result = answer_failure(r, NULL, s->db, false), .is_over = true};
}

/* With the connection: whatever it waits for is cancelled when nobody waits any more, and has a bound. */
static struct outcome try_query(struct session *s, weir_request *r, struct values *v, bool last)
{
    struct outcome o = {0};
    PGresult *fields = NULL, *failed = NULL;
    s->asks = true;
    weir_on_cancel(r, cancel_query, s);
    if (set_timeout(s, r) && !s->is_prepared)
        failed = prepare(s);
    if (!failed && s->is_prepared && is_json(r))
        fields = take_json(s, r, v);
    if (fields && PQresultStatus(fields) != PGRES_TUPLES_OK)
        failed = fields;
    if (failed && !fields)
        weir_log(r, WEIR_LOG_ERROR, "%s", PQresultErrorMessage(failed));
    if (failed && (last || !may_ask_again(s, failed)))
        o = (struct outcome){.is_over = true,
                             .result = fields ? answer_failure(r, failed, s->db, false)
                                              : answer_unprepared(r, failed)};
    else if (!failed && s->is_prepared)
        ask(s, r, v, last, &o);
    s->asks = false;
    weir_on_cancel(r, NULL, NULL);
    if (failed != fields)
        PQclear(failed);
    PQclear(fields);
    if (!o.is_over || PQtransactionStatus(s->db) == PQTRANS_ACTIVE)
        disconnect(s);
    return o;
}

/* A connection that breaks, or is worn out, is made anew, and the query asked once again where that is safe. */
static int run(weir_request *r)
{
    struct session *s = weir_thread(r);
    struct values v = {0};
    struct outcome o = {0};
    if (!take_path(s->query, r, &v))
        return HTTP_NOT_FOUND;
    weir_set_header(r, "Content-Type", "application/json");
    for (int tries = 0; tries < 2 && !o.is_over && !weir_client_gone(r); tries++) {
        if (!is_connected(s) && !connect_again(s, r))
            return json_answer_error(r, HTTP_UNAVAILABLE, "the database cannot be reached");
        o = try_query(s, r, &v, tries == 1);
    }
    if (o.is_over || weir_client_gone(r))
        return o.result;
    return json_answer_error(r, HTTP_UNAVAILABLE, "the connection to the database broke");
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

/* Each of its names is a parameter of the query, once. */
static bool check_path(const struct query *q, char *error, size_t bytes)
{
    bool seen[SQL_NAMES_MAX] = {false};
    for (const char *at = q->path ? strstr(q->path, "/:") : NULL; at; at = strstr(at + 2, "/:")) {
        size_t length = segment(at + 2);
        int i = 0;
        while (i < q->sql.count &&
               (strlen(q->sql.names[i]) != length || memcmp(q->sql.names[i], at + 2, length) != 0))
            i++;
        if (i == q->sql.count || seen[i])
            return refuse(error, bytes, "invalid \"path=%s\"; each of its names is one of the query's, once",
                          q->path);
        seen[i] = true;
    }
    return true;
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
    ok = ok && check_path(q, error, error_bytes);
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
