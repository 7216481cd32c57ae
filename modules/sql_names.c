/*
 * modules/sql_names.c - a walk over a statement that knows just enough of SQL to tell a parameter from what looks like one.
 */
#include "modules/sql_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_BYTES = 5 }; /* of "$100" at most, with its zero */

static int begins_name(char c)
{
    unsigned char u = (unsigned char)c;
    return (u >= 'a' && u <= 'z') || (u >= 'A' && u <= 'Z') || u == '_' || u >= 0x80;
}

static int goes_on(char c)
{
    return begins_name(c) || (c >= '0' && c <= '9');
}

static size_t name_bytes(const char *s)
{
    size_t n = 0;
    while (goes_on(s[n]))
        n++;
    return n;
}

/* Up to and with the quote that ends what begins at s; a doubled quote does not. */
static size_t quoted_bytes(const char *s, int with_backslashes)
{
    char quote = s[0];
    size_t i = 1;
    for (; s[i]; i++) {
        if (with_backslashes && s[i] == '\\' && s[i + 1])
            i++;
        else if (s[i] == quote && s[i + 1] == quote)
            i++;
        else if (s[i] == quote)
            return i + 1;
    }
    return i;
}

/* Comments of this kind lie in each other. */
static size_t comment_bytes(const char *s)
{
    size_t i = 2;
    for (int depth = 1; s[i] && depth > 0;) {
        int opens = s[i] == '/' && s[i + 1] == '*', closes = s[i] == '*' && s[i + 1] == '/';
        depth += opens - closes;
        i += opens || closes ? 2 : 1;
    }
    return i;
}

/* $tag$ ... $tag$; 0: s begins none. */
static size_t dollar_bytes(const char *s)
{
    size_t tag = 1 + (begins_name(s[1]) ? name_bytes(s + 1) : 0) + 1;
    if (s[tag - 1] != '$')
        return 0;
    for (const char *end = s + tag; *end; end++)
        if (strncmp(end, s, tag) == 0)
            return (size_t)(end - s) + tag;
    return strlen(s);
}

/* What is to be copied as it is from s on; `before` is the byte in front of it. */
static size_t plain_bytes(const char *s, char before)
{
    if (s[0] == '\'' || s[0] == '"')
        return quoted_bytes(s, 0);
    if ((s[0] | 0x20) == 'e' && s[1] == '\'' && !goes_on(before))
        return 1 + quoted_bytes(s + 1, 1);
    if (begins_name(s[0]))
        return name_bytes(s);
    if (s[0] == '-' && s[1] == '-')
        return strcspn(s, "\r\n");
    if (s[0] == '/' && s[1] == '*')
        return comment_bytes(s);
    if (s[0] == ':' && (s[1] == ':' || s[1] == '='))
        return 2;
    size_t dollar = s[0] == '$' && !goes_on(before) ? dollar_bytes(s) : 0;
    return dollar ? dollar : 1;
}

/* The number of a name, from 1 on; 0: there are too many, or memory is out. */
static int number_of(struct sql_names *n, const char *name, size_t bytes)
{
    for (int i = 0; i < n->count; i++)
        if (strlen(n->names[i]) == bytes && memcmp(n->names[i], name, bytes) == 0)
            return i + 1;
    if (n->count == SQL_NAMES_MAX)
        return 0;
    n->names[n->count] = strndup(name, bytes);
    return n->names[n->count] ? ++n->count : 0;
}

static struct sql_names fail(struct sql_names *n, const char *error)
{
    sql_names_free(n);
    return (struct sql_names){.error = error};
}

struct sql_names sql_names_read(const char *sql)
{
    /* ":a" becomes "$100" at worst. */
    struct sql_names n = {.text = malloc(2 * strlen(sql) + NUMBER_BYTES)};
    char before = ' ';
    if (!n.text)
        return (struct sql_names){.error = "out of memory"};
    char *out = n.text;
    for (const char *s = sql; *s; before = s[-1]) {
        if (s[0] == ':' && s[1] != ':' && begins_name(s[1])) {
            size_t bytes = name_bytes(s + 1);
            int number = number_of(&n, s + 1, bytes);
            if (!number)
                return fail(&n, "it has more than 100 parameters");
            out += snprintf(out, NUMBER_BYTES, "$%d", number);
            s += 1 + bytes;
            continue;
        }
        if (s[0] == '$' && s[1] >= '0' && s[1] <= '9' && !goes_on(before))
            return fail(&n, "parameters have names here: write :name in place of $1");
        size_t bytes = plain_bytes(s, before);
        memcpy(out, s, bytes);
        out += bytes;
        s += bytes;
    }
    *out = '\0';
    return n;
}

void sql_names_free(struct sql_names *n)
{
    for (int i = 0; i < n->count; i++)
        free(n->names[i]);
    free(n->text);
    *n = (struct sql_names){0};
}
