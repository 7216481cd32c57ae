/*
 * examples/handlers/counter.c - what a thread keeps: a connection, here a file, that is opened once for each thread; and a wait that
 * ends when nobody waits for the answer any more.
 *
 *     cc -shared -fPIC counter.c -o counter.so    load_module /srv/counter.so;  location /next { handler counter file=/srv/numbers; }
 */
#include <weir/handler.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void *init(const struct weir_setting *s, char *error, size_t error_bytes)
{
    if (s->key && strcmp(s->key, "file") == 0)
        return strdup(s->value);
    snprintf(error, error_bytes, "it needs file=PATH");
    return NULL;
}

static void *begin_thread(void *settings, char *error, size_t error_bytes)
{
    FILE *f = fopen(settings, "a");
    if (!f)
        snprintf(error, error_bytes, "cannot open %s", (char *)settings);
    return f;
}

static void end_thread(void *state)
{
    fclose(state);
}

/* On another thread. */
static void wake(void *arg)
{
    eventfd_write(*(int *)arg, 1);
}

/* ?wait_ms= stands for something slow that poll can wait for. */
static int run(weir_request *r)
{
    FILE *f = weir_thread(r);
    const char *wait_ms = weir_arg(r, "wait_ms");
    int fd = eventfd(0, EFD_CLOEXEC);
    struct pollfd cancelled = {.fd = fd, .events = POLLIN};
    weir_on_cancel(r, wake, &fd);
    if (poll(&cancelled, 1, wait_ms ? atoi(wait_ms) : 0) == 0)
        weir_printf(r, "%d, %lld ms left\n", fprintf(f, "%s\n", weir_client(r)),
                    (long long)weir_time_left_ms(r));
    weir_on_cancel(r, NULL, NULL); /* before the descriptor goes */
    close(fd);
    fflush(f);
    return 0;
}

static const struct weir_handler handlers[] = {{.name = "counter",
                                                .run = run,
                                                .init = init,
                                                .free = free,
                                                .thread_init = begin_thread,
                                                .thread_free = end_thread},
                                               {0}};

WEIR_MODULE(handlers);
