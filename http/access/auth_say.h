/*
 * http/access/auth_say.h - what one of those says who let a client in or keep it out.
 */
#ifndef WEIR_HTTP_ACCESS_AUTH_SAY_H
#define WEIR_HTTP_ACCESS_AUTH_SAY_H

enum auth_say {
    AUTH_SAYS_NOTHING,
    AUTH_SAYS_YES,
    AUTH_SAYS_NO,
    /* Somebody else has been asked: the verdict is what is to happen. */
    AUTH_SAYS_ASK
};

#endif
