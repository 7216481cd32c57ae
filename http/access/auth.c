/*
 * http/access/auth.c - who may see a location: allow and deny, auth_basic, auth_request, and satisfy over them.
 *
 * A password is checked by http/access/auth_basic.c, another location is asked by http/access/auth_request.c. In both cases the
 * request waits, and comes through here again with what was found out.
 */
#include "http/access/auth.h"

#include "base/slice.h"
#include "conf/rows.h"
#include "http/access/access.h"
#include "http/access/auth_basic.h"
#include "http/access/auth_request.h"
#include "http/access/auth_say.h"
#include "http/request/exchange.h"
#include "http/request/verdict.h"
#include "http/site/feature.h"
#include "http/site/site.h"
#include "worker/loop/wait.h"

enum satisfy { SATISFY_ALL, SATISFY_ANY };

struct satisfy_settings {
    enum satisfy satisfy;
    int64_t delay_ms; /* auth_delay */
};

struct part satisfy_settings_part = {.size = sizeof(struct satisfy_settings)};
SETTINGS_PART(satisfy_settings)

static enum auth_say by_request(struct http_exchange *ex, struct verdict *v)
{
    if (!auth_request_is_asked(ex->route.location))
        return AUTH_SAYS_NOTHING;
    if (ex->access.asked_by == ex->route.location)
        return ex->access.status < 300 ? AUTH_SAYS_YES : AUTH_SAYS_NO;
    *v = auth_request_ask(ex);
    return AUTH_SAYS_ASK;
}

static enum auth_say by_address(struct http_exchange *ex, struct verdict *v)
{
    (void)v;
    enum access_verdict verdict = access_look(ex);
    return verdict == ACCESS_ALLOWED  ? AUTH_SAYS_YES
           : verdict == ACCESS_DENIED ? AUTH_SAYS_NO
                                      : AUTH_SAYS_NOTHING;
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
    int64_t delay_ms = satisfy_settings_of(ex->route.settings)->delay_ms;
    if (status != 401 || delay_ms == 0)
        return verdict_answer(status);
    ex->access.delayed_status = status;
    return request_wait(ex, REQUEST_DELAYED, delay_ms, end_delay);
}

/* In nginx's order. The first refusal ends it, or, with "satisfy any", the first consent. */
struct verdict auth_pass(struct http_exchange *ex)
{
    static enum auth_say (*const checks[])(struct http_exchange * ex,
                                           struct verdict * v) = {by_address, auth_basic_look, by_request};
    const struct location *l = ex->route.location;
    bool any = satisfy_settings_of(l->settings)->satisfy == SATISFY_ANY, by_rule = false;
    struct verdict v = verdict_of(VERDICT_NEXT);
    int refusal = 0;
    if (!access_has_rules(l) && !auth_basic_is_asked(l) && !auth_request_is_asked(l))
        return v;
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        enum auth_say said = checks[i](ex, &v);
        if (said == AUTH_SAYS_ASK)
            return v;
        bool wants_login =
            checks[i] == auth_basic_look || (checks[i] == by_request && ex->access.status == 401);
        if (said == AUTH_SAYS_YES && any) {
            ex->access.www_authenticate = (struct slice){0}; /* of a password that was not needed */
            return v;
        }
        if (said == AUTH_SAYS_NO)
            refusal = wants_login || refusal == 401 ? 401 : 403;
        by_rule |= said == AUTH_SAYS_NO && (any || checks[i] == by_address);
        if (said == AUTH_SAYS_NO && !any)
            break;
    }
    /* auth_request's 403 is the other location's to log, as in nginx. */
    if (refusal == 403 && by_rule)
        http_log(ex, LOG_LEVEL_ERROR, "access forbidden by rule");
    return refusal ? refuse(ex, refusal) : v;
}

#define PART(member) CONF_PART_FIELD(satisfy_settings, member)

static const struct conf_directive rows[] = {
    // clang-format off
    {.name = "satisfy", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_CHOICE, .field = PART(satisfy), .default_text = "all", .live = CONF_LIVE,
     .words = WORDS("all", "any"),
     .help = "Whether allow and deny, auth_basic and auth_request must all let a client in, or one of them."},
    {.name = "auth_delay", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TIME, .field = PART(delay_ms), .default_text = "0", .live = CONF_LIVE,
     .help = "How long a 401 of these is held back, so that passwords are not guessed quickly."},
    {0},
    // clang-format on
};

static const struct conf_table table = {CONF_SECTION_ACCESS, rows, NULL};

const struct feature feature_satisfy = {.name = "satisfy", .table = &table};
