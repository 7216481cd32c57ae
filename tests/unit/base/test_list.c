/*
 * tests/unit/base/test_list.c - the intrusive list: order, removal, moving all at once.
 */
#include "base/list.h"
#include "tests/unit/check.h"

struct item {
    int number;
    struct list_node node;
};

/* The numbers in order, "123", checked forwards and backwards. */
static void check_order(const struct list_node *head, const char *wanted)
{
    char forwards[16] = "", backwards[16] = "";
    size_t n = 0, back = strlen(wanted);
    for (struct list_node *at = head->next; at != head && n < 15; at = at->next)
        forwards[n++] = (char)('0' + container_of(at, struct item, node)->number);
    CU_ASSERT_STRING_EQUAL(forwards, wanted);
    for (struct list_node *at = head->prev; at != head && back > 0; at = at->prev)
        backwards[--back] = (char)('0' + container_of(at, struct item, node)->number);
    CU_ASSERT_STRING_EQUAL(backwards, wanted);
}

static void keeps_order(void)
{
    struct list_node head;
    struct item items[4] = {{.number = 1}, {.number = 2}, {.number = 3}, {.number = 4}};
    list_init(&head);
    CU_ASSERT(list_empty(&head));
    list_push_back(&head, &items[1].node);
    list_push_back(&head, &items[2].node);
    list_push_front(&head, &items[0].node);
    list_insert_before(&items[1].node, &items[3].node);
    CU_ASSERT(!list_empty(&head));
    check_order(&head, "1423");
}

static void removes_any(void)
{
    struct list_node head;
    struct item items[3] = {{.number = 1}, {.number = 2}, {.number = 3}};
    list_init(&head);
    for (int i = 0; i < 3; i++)
        list_push_back(&head, &items[i].node);
    list_remove(&items[1].node);
    check_order(&head, "13");
    list_remove(&items[1].node); /* in no list any more: harmless */
    CU_ASSERT(list_empty(&items[1].node));
    check_order(&head, "13");
    list_remove(&items[0].node);
    list_remove(&items[2].node);
    CU_ASSERT(list_empty(&head));
}

static void moves_all(void)
{
    struct list_node from, to;
    struct item items[3] = {{.number = 1}, {.number = 2}, {.number = 3}};
    list_init(&from);
    list_init(&to);
    list_move_all(&to, &from);
    CU_ASSERT(list_empty(&to));
    for (int i = 0; i < 3; i++)
        list_push_back(&from, &items[i].node);
    list_move_all(&to, &from);
    CU_ASSERT(list_empty(&from));
    check_order(&to, "123");
    list_remove(&items[0].node);
    list_push_back(&from, &items[0].node);
    check_order(&to, "23");
    check_order(&from, "1");
}

static const struct check_case cases[] = {
    {"keeps order", keeps_order},
    {"removes any", removes_any},
    {"moves all", moves_all},
};

CHECK_MAIN("base/list", cases)
