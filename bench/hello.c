/*
 * bench/hello.c - the shortest answer of a handler in C, for handlers in other languages to be measured beside.
 */
#include <weir/handler.h>

static int run(weir_request *r)
{
    weir_set_header(r, "Content-Type", "text/plain");
    return weir_puts(r, "hello");
}

static const struct weir_handler handlers[] = {{.name = "hello", .run = run}, {0}};

WEIR_MODULE(handlers);
