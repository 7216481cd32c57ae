/*
 * conf/token.h - cuts configuration text into words, ";", "{" and "}".
 *
 * Threads: one thread at a time. Allocates only the words whose escapes had to be resolved.
 */
#ifndef WEIR_CONF_TOKEN_H
#define WEIR_CONF_TOKEN_H

#include "base/arena.h"

enum conf_token_kind {
    CONF_TOKEN_WORD,
    CONF_TOKEN_SEMICOLON,
    CONF_TOKEN_OPEN,
    CONF_TOKEN_CLOSE,
    CONF_TOKEN_END,
    /* Text holds the message; what follows cannot be cut any more. */
    CONF_TOKEN_ERROR,
    /* Likewise, in place of a word; what follows can. */
    CONF_TOKEN_MISTAKE,
};

struct conf_token {
    enum conf_token_kind kind;
    struct slice text;
    int line; /* where the token starts */
};

struct conf_lexer {
    struct arena *arena;
    const char *at, *end;
    int line;
};

struct conf_token conf_next_token(struct conf_lexer *lexer);

/* Behind a "{": passes over a block in another language (Lua), up to its "}". False: it does not end. */
bool conf_skip_foreign_block(struct conf_lexer *lexer);

#endif
