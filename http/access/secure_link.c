/*
 * http/access/secure_link.c - links that only we can have made, and that may end: $secure_link and $secure_link_expires (nginx,
 * ngx_http_secure_link_module).
 */
#include "http/access/secure_link.h"

#include "base/clock.h"
#include "base/slice.h"
#include "conf/rows.h"
#include "conf/tree.h"
#include "http/request/template.h"
#include "http/site/build.h"
#include "http/site/feature.h"
#include "http/site/site.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

struct secure_link_settings {
    const struct conf_node *link, *md5;
    struct slice secret;
};

struct part secure_link_settings_part = {.size = sizeof(struct secure_link_settings)};
SETTINGS_PART(secure_link_settings)

/* Of a location; each NULL where there is none. */
struct secure_link {
    const struct http_template *link, *md5;
};

struct part secure_link_part = {.size = sizeof(struct secure_link)};
LOCATION_PART(secure_link)

enum { MD5_BYTES = 16, MD5_BASE64 = 22, MD5_PADDED = 24 };

static bool md5(struct slice a, struct slice b, unsigned char out[MD5_BYTES])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok =
        context && EVP_DigestInit_ex(context, EVP_md5(), NULL) && EVP_DigestUpdate(context, a.data, a.len) &&
        (b.len == 0 || EVP_DigestUpdate(context, b.data, b.len)) && EVP_DigestFinal_ex(context, out, NULL);
    EVP_MD_CTX_free(context);
    return ok;
}

/* base64url (RFC 4648 section 5) of a digest, with or without padding. */
static bool decode(struct slice text, unsigned char out[MD5_BYTES])
{
    unsigned char digits[MD5_BASE64 + 2], bytes[MD5_BYTES + 2];
    if (text.len > MD5_PADDED)
        return false;
    while (text.len > MD5_BASE64 && text.data[text.len - 1] == '=')
        text.len--;
    if (text.len != MD5_BASE64)
        return false;
    for (size_t i = 0; i < MD5_BASE64; i++)
        digits[i] = (unsigned char)(text.data[i] == '-' ? '+' : text.data[i] == '_' ? '/' : text.data[i]);
    digits[MD5_BASE64] = digits[MD5_BASE64 + 1] = '=';
    if (EVP_DecodeBlock(bytes, digits, sizeof digits) != (int)sizeof bytes)
        return false;
    memcpy(out, bytes, MD5_BYTES);
    return true;
}

/* secure_link HASH[,EXPIRES], secure_link_md5 TEXT: "1", "0" for one that has ended, or nothing. */
static struct slice check_text(struct http_exchange *ex, const struct secure_link *of)
{
    unsigned char given[MD5_BYTES], made[MD5_BYTES];
    struct slice text = http_template_expand(of->link, ex), none = {0};
    const char *comma = text.len ? memchr(text.data, ',', text.len) : NULL;
    unsigned long long expires = 0;
    ex->access.link_expires = none;
    if (comma) {
        struct slice end = slice_from(text, (size_t)(comma - text.data) + 1);
        text.len = (size_t)(comma - text.data);
        if (!slice_to_u64(end, INT64_MAX, &expires) || expires == 0)
            return none;
        ex->access.link_expires = end;
    }
    if (!decode(text, given) || !md5(http_template_expand(of->md5, ex), none, made) ||
        CRYPTO_memcmp(given, made, MD5_BYTES) != 0)
        return none;
    return expires && expires < clock_wall_ms() / 1000 ? SLICE("0") : SLICE("1");
}

/*
 * secure_link_secret WORD: of /PREFIX/HASH/LINK the link, where the hash is that of link and word. As in nginx the link is
 * what the client has written, with escapes and arguments.
 */
static struct slice check_path(struct http_exchange *ex, struct slice secret)
{
    unsigned char made[MD5_BYTES];
    struct slice none = {0}, rest = slice_from(ex->req.uri, 1);
    const char *slash = rest.len ? memchr(rest.data, '/', rest.len) : NULL;
    rest = slash ? slice_from(rest, (size_t)(slash - rest.data) + 1) : none;
    slash = rest.len ? memchr(rest.data, '/', rest.len) : NULL;
    if (!slash || slash - rest.data != 2 * MD5_BYTES)
        return none;
    struct slice link = slice_from(rest, 2 * MD5_BYTES + 1);
    char hex[2 * MD5_BYTES];
    if (link.len == 0 || !md5(link, secret, made))
        return none;
    for (int i = 0; i < MD5_BYTES; i++) {
        hex[2 * i] = "0123456789abcdef"[made[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[made[i] & 15];
    }
    return strncasecmp(hex, rest.data, sizeof hex) == 0 ? link : none;
}

static struct slice get_secure_link(struct http_exchange *ex, const void *data)
{
    const struct location *l = ex->route.location;
    (void)data;
    if (!l)
        return (struct slice){0};
    const struct secure_link *of = secure_link_of(l);
    if (secure_link_settings_of(l->settings)->secret.data)
        return check_path(ex, secure_link_settings_of(l->settings)->secret);
    return of->link && of->md5 ? check_text(ex, of) : (struct slice){0};
}

static struct slice get_expires(struct http_exchange *ex, const void *data)
{
    (void)data;
    return ex->access.link_expires;
}

static void build(struct site *site, struct location *l, const struct conf_location *c)
{
    const struct secure_link_settings *s = secure_link_settings_of(l->settings);
    struct secure_link *to = secure_link_in(l);
    if (s->secret.data && (s->link || s->md5))
        conf_error(
            &site->conf->errors, c->node,
            "\"secure_link_secret\" cannot be mixed with \"secure_link\" and \"secure_link_md5\"; remove one "
            "of them");
    if (s->link)
        to->link = site_compile(site, s->link->args[0], s->link);
    if (s->md5)
        to->md5 = site_compile(site, s->md5->args[0], s->md5);
}

#define PART(member) CONF_PART_FIELD(secure_link_settings, member)

static const struct conf_directive rows[] = {
    // clang-format off
    {.name = "secure_link", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEMPLATE, .field = PART(link),
     .syntax = "HASH[,EXPIRES]",
     .help = "Text with variables, usually arguments: where HASH is the MD5 of secure_link_md5 in base64url, $secure_link is 1, or 0 once EXPIRES (seconds since 1970) is over; else it is empty."},
    {.name = "secure_link_md5", .where = CONF_HTTP_ALL, .args = {1, 1}, .type = CONF_TEMPLATE, .field = PART(md5),
     .help = "What that hash is made of; with variables, a secret, and $secure_link_expires."},
    {.name = "secure_link_secret", .where = CONF_LOCATION, .args = {1, 1}, .type = CONF_TEXT, .field = PART(secret),
     .syntax = "WORD",
     .help = "For paths /PREFIX/HASH/LINK: $secure_link is LINK where HASH is the MD5 of LINK and WORD in hexadecimal digits, else empty."},
    {0},
    // clang-format on
};

static const struct conf_table table = {CONF_SECTION_ACCESS, rows, NULL};

static const struct feature_variable variables[] = {
    {"secure_link", get_secure_link}, {"secure_link_expires", get_expires}, {0}};

const struct feature feature_secure_link = {.name = "secure_link",
                                            .table = &table,
                                            .location = &secure_link_part,
                                            .variables = variables,
                                            .build = build};
