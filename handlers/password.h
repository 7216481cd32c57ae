/*
 * handlers/password.h - checking a password against a hash as htpasswd and crypt(3) write them.
 *
 * Threads: any. A check may take a tenth of a second, as good hashes do: not for the loop.
 */
#ifndef WEIR_HANDLERS_PASSWORD_H
#define WEIR_HANDLERS_PASSWORD_H

#include <stdbool.h>

/*
 * Kinds: all of crypt(3) of this system ($2y$, $5$, $6$, $y$, DES), $apr1$ (Apache's MD5), {SHA} and {SSHA} with base64,
 * {PLAIN}. A hash that is none of them matches nothing. The comparison takes the same time wherever two hashes differ.
 */
bool password_matches(const char *password, const char *hash);

#endif
