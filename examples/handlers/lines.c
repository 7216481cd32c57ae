/*
 * examples/handlers/lines.c - counts the lines of an upload of any size while it comes.
 *
 *     cc -shared -fPIC lines.c -o lines.so        load_module /srv/lines.so;  location /lines { handler lines; client_max_body_size 0; }
 */
#include <weir/handler.h>

static int run(weir_request *r)
{
    static const char newline = '\n';
    char buffer[16384];
    unsigned long lines = 0;
    ssize_t n;
    while ((n = weir_read(r, buffer, sizeof buffer)) > 0)
        for (ssize_t i = 0; i < n; i++)
            lines += buffer[i] == newline;
    if (n < 0)
        return 400; /* the rest did not come */
    return weir_printf(r, "%lu lines\n", lines) < 0;
}

static const struct weir_handler handlers[] = {{.name = "lines", .run = run, .streams_body = 1}, {0}};

WEIR_MODULE(handlers);
