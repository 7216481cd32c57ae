/*
 * tests/functional/lib/accept_fails.c - to be preloaded: accept4 fails for the port ACCEPT_PORT with the error whose number is the
 * contents of the file ACCEPT_ERROR, as long as there is one.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static int wanted_error(void)
{
    int error = 0;
    FILE *file = fopen(getenv("ACCEPT_ERROR"), "re");
    if (!file)
        return 0;
    if (fscanf(file, "%d", &error) != 1)
        error = 0;
    fclose(file);
    return error;
}

static int port_of(int fd)
{
    struct sockaddr_in bound = {0};
    socklen_t len = sizeof bound;
    return getsockname(fd, (struct sockaddr *)&bound, &len) == 0 ? ntohs(bound.sin_port) : 0;
}

int accept4(int fd, struct sockaddr *peer, socklen_t *len, int flags)
{
    int (*real)(int, struct sockaddr *, socklen_t *, int);
    *(void **)&real = dlsym(RTLD_NEXT, "accept4");
    int error = port_of(fd) == atoi(getenv("ACCEPT_PORT")) ? wanted_error() : 0;
    if (!error)
        return real(fd, peer, len, flags);
    errno = error;
    return -1;
}
