/*
 * base/list.h - intrusive doubly linked list with a sentinel: insertion and removal in O(1), no allocation.
 *
 * A struct list_node is both an element's link and the list's head. A node that is in no list points to itself.
 */
#ifndef WEIR_BASE_LIST_H
#define WEIR_BASE_LIST_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

struct list_node {
    struct list_node *prev, *next;
};

/* The structure that holds `member` at `node`. */
#define container_of(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))

static inline void list_init(struct list_node *n)
{
    n->prev = n->next = n;
}

static inline bool list_empty(const struct list_node *head)
{
    return head->next == head;
}

static inline void list_insert_before(struct list_node *at, struct list_node *n)
{
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it sees no counts. */
    assert(n != at && at->prev->next == at);
    n->prev = at->prev;
    n->next = at;
    at->prev->next = n;
    at->prev = n;
}

static inline void list_push_back(struct list_node *head, struct list_node *n)
{
    list_insert_before(head, n);
}

static inline void list_push_front(struct list_node *head, struct list_node *n)
{
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it sees no counts. */
    list_insert_before(head->next, n);
}

/* Unlinks n from whatever list it is in; harmless on a node in none. */
static inline void list_remove(struct list_node *n)
{
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it sees no counts. */
    assert(n->prev->next == n && n->next->prev == n);
    n->prev->next = n->next;
    n->next->prev = n->prev;
    list_init(n);
}

/* Moves all of `from` to `to`, which must be empty. */
static inline void list_move_all(struct list_node *to, struct list_node *from)
{
    assert(to != from);
    if (list_empty(from)) {
        list_init(to);
        return;
    }
    *to = *from;
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it sees no counts. */
    to->next->prev = to;
    to->prev->next = to;
    list_init(from);
}

#endif
