/*
 * http/request/verdict.h - what is to happen to a request next: what every phase returns to the loop that runs requests, and what ends
 * a wait. Plain values.
 */
#ifndef WEIR_HTTP_REQUEST_VERDICT_H
#define WEIR_HTTP_REQUEST_VERDICT_H

enum verdict_kind {
    /* The phase has nothing against the request: the next one. */
    VERDICT_NEXT,
    /* Another location, or what was waited for: from the first phase on; each knows by the request what it has done. */
    VERDICT_AGAIN,
    /* Another path: its location is to be found, and then as above. */
    VERDICT_ROUTE,
    /* A thread is to look at the question in the request's access. */
    VERDICT_CHECK_PASSWORD,
    VERDICT_WAIT, /* somebody has it who resumes it */
    /* The response stands, or the page of `status` is wanted: error_page may have another. */
    VERDICT_ANSWER,
    VERDICT_SEND, /* the same without a look at error_page */
    /* Another URI or a named location, the request's leads_to, answers in its place. */
    VERDICT_REDIRECT,
    /* The same as a GET without a body, with a URI as an upstream has written it. */
    VERDICT_REDIRECT_GET,
    /* Nothing: the response is on its way, or the connection is closed. */
    VERDICT_GONE
};

/* As small as a register, since every phase returns one. */
struct verdict {
    enum verdict_kind kind;
    /* Of an error; 0: the response is complete, or its head is. */
    int status;
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
