/*
 * modules/sql_names.h - named parameters of a statement (:name) as PostgreSQL numbers them ($1).
 */
#ifndef WEIR_MODULES_SQL_NAMES_H
#define WEIR_MODULES_SQL_NAMES_H

#include <stddef.h>

enum { SQL_NAMES_MAX = 100 };

struct sql_names {
    /* The statement with numbers; NULL: it cannot be read. Both are to be freed by sql_names_free. */
    char *text;
    char *names[SQL_NAMES_MAX]; /* of $1, $2 ... */
    int count;
    const char *error; /* why text is NULL: a sentence */
};

/*
 * A name that stands twice has one number. Quoted texts and names, dollar quotes and comments are left as they are (PostgreSQL 15,
 * section 4.1), and so are :: and :=.
 */
struct sql_names sql_names_read(const char *sql);

void sql_names_free(struct sql_names *n);

#endif
