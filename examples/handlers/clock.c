/*
 * examples/handlers/clock.c - a stream of events: the time once a second, for as long as somebody listens.
 *
 *     cc -shared -fPIC clock.c -o clock.so        load_module /srv/clock.so;  location /clock { handler clock; handler_timeout 1h; }
 *     new EventSource("/clock").onmessage = e => console.log(e.data)
 */
#include <weir/handler.h>

#include <poll.h>
#include <time.h>

static int run(weir_request *r)
{
    char text[32];
    struct tm now;
    do {
        time_t t = time(NULL);
        strftime(text, sizeof text, "%H:%M:%S", gmtime_r(&t, &now));
        if (weir_event(r, NULL, NULL, text) < 0)
            return 0; /* the client has gone */
    } while (poll(NULL, 0, 1000) == 0 && !weir_client_gone(r));
    return 0;
}

static const struct weir_handler handlers[] = {{.name = "clock", .run = run}, {0}};

WEIR_MODULE(handlers);
