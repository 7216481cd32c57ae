/*
 * http/access/auth_basic.c - users and their passwords: auth_basic (nginx, ngx_http_auth_basic_module).
 *
 * A password is checked on a thread of the pool "default": reading its file and hashing both block. The request waits, and
 * comes through here again with what was found out.
 */
#include "http/access/auth_basic.h"

#include "base/arena.h"
#include "base/slice.h"
#include "conf/rows.h"
#include "conf/tree.h"
#include "http/access/auth.h"
#include "http/request/template.h"
#include "http/request/verdict.h"
#include "http/site/build.h"
#include "http/site/feature.h"
#include "http/site/site.h"
#include "http/wire/credentials.h"
#include "http/wire/request.h"
#include "worker/loop/worker_state.h"

struct auth_basic_settings {
    const struct conf_node *realm, *user_file;
};

struct part auth_basic_settings_part = {.size = sizeof(struct auth_basic_settings)};
SETTINGS_PART(auth_basic_settings)

/* Of a location; realm NULL: nobody is asked. */
struct location_auth {
    const struct http_template *realm, *file;
};

struct part location_auth_part = {.size = sizeof(struct location_auth)};
LOCATION_PART(location_auth)

bool auth_basic_is_asked(const struct location *l)
{
    return location_auth_of(l)->realm != NULL;
}

static void ask_for_password(struct http_exchange *ex)
{
    struct slice realm = http_template_expand(location_auth_of(ex->route.location)->realm, ex);
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
    struct slice path = http_template_expand(location_auth_of(ex->route.location)->file, ex);
    struct slice prefix = path.len && path.data[0] == '/' ? SLICE("") : ex->worker->conf->prefix;
    return arena_join(&ex->arena, prefix, path).data;
}

enum auth_say auth_basic_look(struct http_exchange *ex, struct verdict *v)
{
    const struct location_auth *auth = location_auth_of(ex->route.location);
    if (!auth->realm || slice_eq(http_template_expand(auth->realm, ex), SLICE("off")))
        return AUTH_SAYS_NOTHING;
    if (ex->access.authorized_by == auth)
        return AUTH_SAYS_YES;
    if (ex->access.refused_by == auth)
        return AUTH_SAYS_NO;
    const struct slice *value = http_find_header(&ex->req, SLICE("Authorization"));
    struct auth_question *q = arena_zalloc(&ex->arena, sizeof *q);
    char *text = value ? arena_alloc(&ex->arena, value->len + 4) : NULL;
    if (!value || !q || !text || !auth_basic_parse(value->data, value->len, text, &q->user, &q->password)) {
        http_log(ex, LOG_LEVEL_INFO, "no user/password was provided for basic authentication");
        ask_for_password(ex);
        ex->access.refused_by = auth;
        return AUTH_SAYS_NO;
    }
    q->file = file_path(ex);
    ex->access.question = q;
    *v = verdict_of(VERDICT_CHECK_PASSWORD);
    return AUTH_SAYS_ASK;
}

struct verdict auth_answered(struct http_exchange *ex, bool done, int result)
{
    if (!done || (result != 0 && result != 401))
        return verdict_answer(done ? result : 503);
    if (result == 401)
        ask_for_password(ex);
    *(result == 0 ? &ex->access.authorized_by : &ex->access.refused_by) =
        location_auth_of(ex->route.location);
    return verdict_of(VERDICT_AGAIN);
}

/* auth_basic REALM | off; auth_basic_user_file FILE */
static void build(struct site *site, struct location *l, const struct conf_location *c)
{
    const struct conf_node *realm = auth_basic_settings_of(l->settings)->realm,
                           *file = auth_basic_settings_of(l->settings)->user_file;
    struct location_auth *to = location_auth_in(l);
    (void)c;
    if (!realm || slice_eq(realm->args[0], SLICE("off"))) {
        /* Of no use here, but a mistake in it is one. */
        if (file)
            site_compile(site, file->args[0], file);
        return;
    }
    if (!file) {
        conf_error(&site->conf->errors, realm, "\"auth_basic\" needs a file: add auth_basic_user_file FILE;");
        return;
    }
    to->realm = site_compile(site, realm->args[0], realm);
    to->file = site_compile(site, file->args[0], file);
}

#define PART(member) CONF_PART_FIELD(auth_basic_settings, member)

static const struct conf_directive rows[] = {
    // clang-format off
    {.name = "auth_basic", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEMPLATE, .field = PART(realm),
     .syntax = "REALM | off",
     .help = "Asks for a user and a password, which are checked on a thread of the pool default; may contain variables."},
    {.name = "auth_basic_user_file", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEMPLATE, .field = PART(user_file),
     .syntax = "FILE",
     .help = "Lines USER:HASH: all of crypt(3), $apr1$, {SHA}, {SSHA}, {PLAIN}; may contain variables."},
    {0},
    // clang-format on
};

static const struct conf_table table = {CONF_SECTION_ACCESS, rows, NULL};

const struct feature feature_auth_basic = {
    .name = "auth_basic", .table = &table, .location = &location_auth_part, .build = build};
