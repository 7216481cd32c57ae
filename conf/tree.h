/*
 * conf/tree.h - configuration text in nginx's grammar, read into a tree of statements.
 *
 * Ownership: a tree lives in the arena that it was read into.
 * Threads:   one thread at a time.
 * Errors:    collected in struct conf_errors, each a sentence that ends in "in FILE:LINE".
 * Source:    the grammar is that of nginx.conf (nginx, "Beginner's Guide", configuration file's structure).
 */
#ifndef WEIR_CONF_TREE_H
#define WEIR_CONF_TREE_H

#include "base/arena.h"
#include "base/buf.h"

struct conf_node {
    struct slice name;
    const struct slice *args; /* quotes and escapes already taken away */
    int nargs;
    bool has_block; /* "name args { ... }" */
    struct conf_node *children;
    struct conf_node *next;
    struct slice file;
    int line; /* from 1 */
};

/* One file that was read, for -T. */
struct conf_file {
    struct slice path;
    struct slice text;
    struct conf_file *next;
};

struct conf_error {
    struct slice message; /* with the place at its end */
    /* Without; file.data NULL: it has none. */
    struct slice text, file;
    int line;
    struct conf_error *next;
};

struct conf_errors {
    struct arena *arena;
    struct conf_error *first, *last;
    int count;
};

struct conf_tree {
    struct arena *arena;
    struct conf_errors *errors;
    struct slice conf_dir; /* relative include paths start here */
    struct conf_node *root;
    struct conf_file *files, *last_file;
    /* Braces or quotes do not match: what belongs where is not known. */
    bool broken;
};

/* The first statement of that name at the top of the tree, or NULL. */
const struct conf_node *conf_tree_find(const struct conf_tree *tree, const char *name);

/* " in FILE:LINE" for messages, or "" when node is NULL. In the arena. */
struct slice conf_place(struct arena *arena, const struct conf_node *node);

/* Adds "MESSAGE in FILE:LINE" for the statement, or MESSAGE alone when node is NULL. */
void conf_error(struct conf_errors *errors, const struct conf_node *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Reads a file and everything that it includes. Returns false if anything was added to the errors; unless the tree is broken
 * then, it has all statements that have none.
 */
bool conf_tree_read_file(struct conf_tree *tree, const char *path);

/* Reads text, as from -g or from conf_tree_print; name stands for the file in messages. Appends to the tree. */
bool conf_tree_read_text(struct conf_tree *tree, const char *name, struct slice text);

/* Writes the tree as text that reads back as the same tree, includes expanded. */
bool conf_tree_print(const struct conf_node *node, struct buf *out);

#endif
