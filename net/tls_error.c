/*
 * net/tls_error.c - what OpenSSL says of a failure, in a few words.
 */
#include "net/tls_internal.h"

#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

/* The first of what there is: the library adds at each level what it could not do because of that. */
const char *net_tls_last_error(void)
{
    static _Thread_local char text[256];
    unsigned long code = ERR_peek_error();
    const char *reason =
        ERR_SYSTEM_ERROR(code) ? strerrordesc_np((int)ERR_GET_REASON(code)) : ERR_reason_error_string(code);
    snprintf(text, sizeof text, "%s", code == 0 ? "no reason is known" : reason ? reason : "unknown error");
    ERR_clear_error();
    return text;
}
