/*
 * http/access/secure_link.c - links that only we can have made, and that may end: $secure_link and $secure_link_expires (nginx,
 * ngx_http_secure_link_module).
 */
#include "base/clock.h"
#include "base/slice.h"
#include "conf/tree.h"
#include "http/request/template.h"
#include "http/site/build.h"
#include "http/site/site.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

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
static struct slice check_text(struct http_exchange *ex, const struct location *l)
{
    unsigned char given[MD5_BYTES], made[MD5_BYTES];
    struct slice text = http_template_expand(l->secure_link, ex), none = {0};
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
    if (!decode(text, given) || !md5(http_template_expand(l->secure_link_md5, ex), none, made) ||
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
    if (l->settings->secure_link.secret.data)
        return check_path(ex, l->settings->secure_link.secret);
    return l->secure_link && l->secure_link_md5 ? check_text(ex, l) : (struct slice){0};
}

static struct slice get_expires(struct http_exchange *ex, const void *data)
{
    (void)data;
    return ex->access.link_expires;
}

void site_name_secure_links(struct site *site)
{
    site_define(site, "secure_link", get_secure_link);
    site_define(site, "secure_link_expires", get_expires);
}

void site_build_secure_link(struct site *site, struct location *l, const struct conf_node *n)
{
    const struct conf_node *link = l->settings->secure_link.link, *hash = l->settings->secure_link.md5;
    if (l->settings->secure_link.secret.data && (link || hash))
        conf_error(
            &site->conf->errors, n,
            "\"secure_link_secret\" cannot be mixed with \"secure_link\" and \"secure_link_md5\"; remove one "
            "of them");
    if (link)
        l->secure_link = site_compile(site, link->args[0], link);
    if (hash)
        l->secure_link_md5 = site_compile(site, hash->args[0], hash);
}
