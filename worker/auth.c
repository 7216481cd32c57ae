/*
 * worker/auth.c - auth_basic and satisfy: who may see a location, by address, by password, or by either.
 *
 * A password is checked on a thread of the pool "default": reading its file and hashing both block. The request waits like
 * one of a handler, and goes on from here.
 */
#include "worker/core.h"

#include "handlers/auth_basic.h"

static bool deny(struct connection *c)
{
    struct http_exchange *ex = c->ex;
    struct slice realm = http_template_expand(c->location->auth->realm, ex);
    ex->www_authenticate =
        arena_printf(&ex->arena, "Basic realm=\"%.*s\"", (int)realm.len, realm.len ? realm.data : "");
    request_answer(c, 401);
    return false;
}

/* The file's path, by the prefix unless it is absolute; a zero behind it. */
static const char *file_path(struct connection *c)
{
    struct http_exchange *ex = c->ex;
    struct slice path = http_template_expand(c->location->auth->file, ex);
    struct slice prefix = path.len && path.data[0] == '/' ? SLICE("") : connection_worker(c)->conf->prefix;
    return arena_printf(&ex->arena, "%.*s%.*s", SLICE_ARGS(prefix), (int)path.len, path.len ? path.data : "")
        .data;
}

static bool password_pass(struct connection *c)
{
    struct http_exchange *ex = c->ex;
    const struct location_auth *auth = c->location->auth;
    if (!auth || ex->authorized_by == auth || slice_eq(http_template_expand(auth->realm, ex), SLICE("off")))
        return true;
    const struct slice *value = http_find_header(&ex->req, SLICE("Authorization"));
    struct auth_question *q = arena_zalloc(&ex->arena, sizeof *q);
    char *text = value ? arena_alloc(&ex->arena, value->len + 4) : NULL;
    if (!value || !q || !text || !auth_basic_parse(value->data, value->len, text, &q->user, &q->password)) {
        http_log(ex, LOG_LEVEL_INFO, "no user/password was provided for basic authentication");
        return deny(c);
    }
    q->file = file_path(c);
    offload_ask(c, &auth_basic_handler, q);
    return false;
}

void auth_answered(struct connection *c, bool done, int result)
{
    c->state = CONNECTION_HEAD;
    connection_set_timer(c, 0);
    if (done && result == 0) {
        c->ex->authorized_by = c->location->auth;
        request_run(c);
    } else if (done && result == 401) {
        deny(c);
    } else {
        request_answer(c, done ? result : 503);
    }
}

bool auth_pass(struct connection *c)
{
    const struct location *l = c->location;
    if (!l->access && !l->auth)
        return true;
    enum access_verdict verdict = access_look(c);
    bool any = l->settings->satisfy == CONF_SATISFY_ANY && l->auth;
    if (verdict == ACCESS_DENIED && !any) {
        access_refuse(c);
        return false;
    }
    if (verdict == ACCESS_ALLOWED && any)
        return true;
    return password_pass(c);
}

/* auth_basic REALM | off; auth_basic_user_file FILE */
struct location_auth *site_build_auth(struct site *site, const struct settings *s)
{
    const struct conf_node *realm = s->auth_basic, *file = s->auth_basic_user_file;
    if (!realm || slice_eq(realm->args[0], SLICE("off")))
        return NULL;
    if (!file) {
        conf_error(&site->conf->errors, realm, "\"auth_basic\" needs a file: add auth_basic_user_file FILE;");
        return NULL;
    }
    struct location_auth *auth = site_array(site, 1, sizeof *auth);
    auth->realm = site_compile(site, realm->args[0], realm);
    auth->file = site_compile(site, file->args[0], file);
    return auth;
}
