/*
 * http/access/auth.c - who may see a location: allow and deny, auth_basic, auth_request, and satisfy over them.
 *
 * A password is checked on a thread of the pool "default": reading its file and hashing both block. Another location is asked
 * by http/access/auth_request.c. In both cases the request waits, and comes through here again with what was found out.
 */
#include "http/access/auth.h"

#include "base/arena.h"
#include "base/slice.h"
#include "conf/tree.h"
#include "http/access/access.h"
#include "http/access/auth_request.h"
#include "http/request/exchange.h"
#include "http/request/template.h"
#include "http/request/verdict.h"
#include "http/site/build.h"
#include "http/site/site.h"
#include "http/wire/credentials.h"
#include "http/wire/request.h"
#include "worker/loop/wait.h"
#include "worker/loop/worker_state.h"

/* What one of them says. */
enum say {
    SAYS_NOTHING,
    SAYS_YES,
    SAYS_NO,
    SAYS_ASK /* it has asked somebody: the verdict is what is to happen */
};

static void ask_for_password(struct http_exchange *ex)
{
    struct slice realm = http_template_expand(ex->route.location->auth->realm, ex);
    if (!http_is_field_value(realm)) { /* it may hold what a client has made of it */
        http_log(ex, LOG_LEVEL_ERROR, "the realm of \"auth_basic\" has a control character; it is left out");
        realm = SLICE("");
    }
    ex->access.www_authenticate =
        arena_printf(&ex->arena, "Basic realm=\"%.*s\"", (int)realm.len, realm.len ? realm.data : "");
}

/* The file's path, by the prefix unless it is absolute; a zero behind it. */
static const char *file_path(struct http_exchange *ex)
{
    struct slice path = http_template_expand(ex->route.location->auth->file, ex);
    struct slice prefix = path.len && path.data[0] == '/' ? SLICE("") : ex->worker->conf->prefix;
    return arena_join(&ex->arena, prefix, path).data;
}

static enum say by_password(struct http_exchange *ex, struct verdict *v)
{
    const struct location_auth *auth = ex->route.location->auth;
    if (!auth || slice_eq(http_template_expand(auth->realm, ex), SLICE("off")))
        return SAYS_NOTHING;
    if (ex->access.authorized_by == auth)
        return SAYS_YES;
    if (ex->access.refused_by == auth)
        return SAYS_NO;
    const struct slice *value = http_find_header(&ex->req, SLICE("Authorization"));
    struct auth_question *q = arena_zalloc(&ex->arena, sizeof *q);
    char *text = value ? arena_alloc(&ex->arena, value->len + 4) : NULL;
    if (!value || !q || !text || !auth_basic_parse(value->data, value->len, text, &q->user, &q->password)) {
        http_log(ex, LOG_LEVEL_INFO, "no user/password was provided for basic authentication");
        ask_for_password(ex);
        ex->access.refused_by = auth;
        return SAYS_NO;
    }
    q->file = file_path(ex);
    ex->access.question = q;
    *v = verdict_of(VERDICT_CHECK_PASSWORD);
    return SAYS_ASK;
}

struct verdict auth_answered(struct http_exchange *ex, bool done, int result)
{
    if (!done || (result != 0 && result != 401))
        return verdict_answer(done ? result : 503);
    if (result == 401)
        ask_for_password(ex);
    *(result == 0 ? &ex->access.authorized_by : &ex->access.refused_by) = ex->route.location->auth;
    return verdict_of(VERDICT_AGAIN);
}

static enum say by_request(struct http_exchange *ex, struct verdict *v)
{
    if (!ex->route.location->auth_request)
        return SAYS_NOTHING;
    if (ex->access.asked_by == ex->route.location)
        return ex->access.status < 300 ? SAYS_YES : SAYS_NO;
    *v = auth_request_ask(ex);
    return SAYS_ASK;
}

static enum say by_address(struct http_exchange *ex, struct verdict *v)
{
    (void)v;
    enum access_verdict verdict = access_look(ex);
    return verdict == ACCESS_ALLOWED ? SAYS_YES : verdict == ACCESS_DENIED ? SAYS_NO : SAYS_NOTHING;
}

static void end_delay(struct http_exchange *ex)
{
    int status = ex->access.delayed_status;
    ex->access.delayed_status = 0;
    request_resume(ex, verdict_answer(status));
}

/* auth_delay: a wrong password takes its time, so that guessing does. */
static struct verdict refuse(struct http_exchange *ex, int status)
{
    int64_t delay_ms = ex->route.settings->access.delay_ms;
    if (status != 401 || delay_ms == 0)
        return verdict_answer(status);
    ex->access.delayed_status = status;
    return request_wait(ex, REQUEST_DELAYED, delay_ms, end_delay);
}

/* In nginx's order. The first refusal ends it, or, with "satisfy any", the first consent. */
struct verdict auth_pass(struct http_exchange *ex)
{
    static enum say (*const checks[])(struct http_exchange * ex,
                                      struct verdict * v) = {by_address, by_password, by_request};
    const struct location *l = ex->route.location;
    bool any = l->settings->access.satisfy == CONF_SATISFY_ANY, by_rule = false;
    struct verdict v = verdict_of(VERDICT_NEXT);
    int refusal = 0;
    if (!l->access && !l->auth && !l->auth_request)
        return v;
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        enum say said = checks[i](ex, &v);
        if (said == SAYS_ASK)
            return v;
        bool wants_login = checks[i] == by_password || (checks[i] == by_request && ex->access.status == 401);
        if (said == SAYS_YES && any) {
            ex->access.www_authenticate = (struct slice){0}; /* of a password that was not needed */
            return v;
        }
        if (said == SAYS_NO)
            refusal = wants_login || refusal == 401 ? 401 : 403;
        by_rule |= said == SAYS_NO && (any || checks[i] == by_address);
        if (said == SAYS_NO && !any)
            break;
    }
    if (refusal == 403 && by_rule) /* auth_request's 403 is the other location's to log, as in nginx */
        http_log(ex, LOG_LEVEL_ERROR, "access forbidden by rule");
    return refusal ? refuse(ex, refusal) : v;
}

/* auth_basic REALM | off; auth_basic_user_file FILE */
struct location_auth *site_build_auth(struct site *site, const struct settings *s)
{
    const struct conf_node *realm = s->auth_basic.realm, *file = s->auth_basic.user_file;
    if (!realm || slice_eq(realm->args[0], SLICE("off"))) {
        if (file) /* of no use here, but a mistake in it is one */
            site_compile(site, file->args[0], file);
        return NULL;
    }
    if (!file) {
        conf_error(&site->conf->errors, realm, "\"auth_basic\" needs a file: add auth_basic_user_file FILE;");
        return NULL;
    }
    struct location_auth *auth = site_array(site, 1, sizeof *auth);
    auth->realm = site_compile(site, realm->args[0], realm);
    auth->file = site_compile(site, file->args[0], file);
    return auth;
}
