/*
 * http/request/verdict.h - what is to happen to a request next: what every phase returns to the loop that runs requests, and what ends
 * a wait.
 */
#ifndef WEIR_HTTP_REQUEST_VERDICT_H
#define WEIR_HTTP_REQUEST_VERDICT_H

enum verdict_kind {
    VERDICT_NEXT, /* this phase has nothing against it: the next one */
    VERDICT_AGAIN, /* it has another location, or what it waited for: from the first phase on, each knows what it has done */
    VERDICT_ROUTE,          /* it has another path: its location is to be found, and then as above */
    VERDICT_CHECK_PASSWORD, /* a thread is to look at the question in its access */
    VERDICT_WAIT,           /* somebody has it who resumes it */
    VERDICT_ANSWER, /* the response stands, or the page of `status` is wanted: error_page may have another */
    VERDICT_SEND,   /* the same without a look at error_page */
    VERDICT_REDIRECT,     /* another URI or a named location, the exchange's leads_to, answers in its place */
    VERDICT_REDIRECT_GET, /* the same as a GET without a body, with a URI as an upstream has written it */
    VERDICT_GONE          /* nothing: its answer is on its way, or the connection is closed */
};

/* As small as a register, since every phase returns one. */
struct verdict {
    enum verdict_kind kind;
    int status; /* of an error; 0: the response is complete, or its head is */
};

static inline struct verdict verdict_of(enum verdict_kind kind)
{
    return (struct verdict){.kind = kind};
}

static inline struct verdict verdict_answer(int status)
{
    return (struct verdict){.kind = VERDICT_ANSWER, .status = status};
}

#endif
