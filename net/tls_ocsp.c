/*
 * net/tls_ocsp.c - a question about a certificate to its authority (OCSP, RFC 6960), sent over HTTP, and what is to be thought of the answer.
 */
#include "net/tls_internal.h"

#include <openssl/err.h>
#include <openssl/http.h>
#include <openssl/ocsp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { ANSWER_MAX = 64 << 10, CLOCKS_DIFFER_S = 300, TIMEOUT_S = 5 };

static const char plain[] = "http://";

/* --- whom --- */

/* The first URL that the certificate names, to be freed. NULL: it names none. */
static char *named_responder(X509 *certificate)
{
    STACK_OF(OPENSSL_STRING) *named = X509_get1_ocsp(certificate);
    char *url = sk_OPENSSL_STRING_num(named) > 0 ? strdup(sk_OPENSSL_STRING_value(named, 0)) : NULL;
    X509_email_free(named);
    return url;
}

/* The certificate of who has signed this one: from those beside it, or one that is trusted. NULL: it is not there. */
static X509 *find_issuer(X509 *certificate, STACK_OF(X509) * beside, X509_STORE *store)
{
    X509 *issuer = NULL;
    for (int i = 0; i < sk_X509_num(beside); i++) {
        X509 *one = sk_X509_value(beside, i);
        if (X509_check_issued(one, certificate) == X509_V_OK && X509_up_ref(one))
            return one;
    }
    X509_STORE_CTX *looks = X509_STORE_CTX_new();
    if (!looks || !X509_STORE_CTX_init(looks, store, NULL, NULL) ||
        X509_STORE_CTX_get1_issuer(&issuer, looks, certificate) != 1)
        issuer = NULL;
    X509_STORE_CTX_free(looks);
    ERR_clear_error();
    return issuer;
}

bool net_tls_question_begin(struct net_tls_question *q, X509 *certificate, X509 *issuer,
                            STACK_OF(X509) * beside, X509_STORE *store, const char *responder,
                            char error[NET_TLS_ERROR_BYTES])
{
    snprintf(error, NET_TLS_ERROR_BYTES, "out of memory");
    *q = (struct net_tls_question){.issuer = issuer ? issuer : find_issuer(certificate, beside, store)};
    if (issuer)
        X509_up_ref(issuer);
    if (!q->issuer)
        snprintf(error, NET_TLS_ERROR_BYTES, "its authority's certificate is not there");
    else if (!(q->responder = responder ? strdup(responder) : named_responder(certificate)))
        snprintf(error, NET_TLS_ERROR_BYTES, "it names no OCSP responder");
    if (q->responder && strncasecmp(q->responder, plain, sizeof plain - 1) != 0) {
        snprintf(error, NET_TLS_ERROR_BYTES, "the OCSP responder \"%s\" is not one of http://", q->responder);
        free(q->responder);
        q->responder = NULL;
    }
    q->beside = beside ? X509_chain_up_ref(beside) : NULL;
    q->certificate = certificate;
    q->store = store;
    X509_up_ref(certificate);
    X509_STORE_up_ref(store);
    if (q->responder)
        return true;
    net_tls_question_end(q);
    return false;
}

void net_tls_question_end(struct net_tls_question *q)
{
    X509_free(q->certificate);
    X509_free(q->issuer);
    sk_X509_pop_free(q->beside, X509_free);
    X509_STORE_free(q->store);
    free(q->responder);
    OPENSSL_free(q->answer);
    *q = (struct net_tls_question){0};
}

/* --- the question --- */

static BIO *write_question(const struct net_tls_question *q)
{
    OCSP_REQUEST *request = OCSP_REQUEST_new();
    OCSP_CERTID *id = OCSP_cert_to_id(NULL, q->certificate, q->issuer);
    BIO *out = BIO_new(BIO_s_mem());
    bool ok = request && id && OCSP_request_add0_id(request, id);
    if (!ok)
        OCSP_CERTID_free(id);
    ok = ok && out && ASN1_item_i2d_bio(ASN1_ITEM_rptr(OCSP_REQUEST), out, request) == 1;
    OCSP_REQUEST_free(request);
    if (ok)
        return out;
    BIO_free(out);
    return NULL;
}

/* NULL: the library's last error says why. */
static BIO *send_question(const struct net_tls_question *q)
{
    char *host = NULL, *port = NULL, *path = NULL, *query = NULL, *target = NULL;
    BIO *answer = NULL, *question = write_question(q);
    if (question && OSSL_HTTP_parse_url(q->responder, NULL, NULL, &host, &port, NULL, &path, &query, NULL) &&
        asprintf(&target, "%s%s%s", path, query && *query ? "?" : "", query ? query : "") > 0)
        /* No proxy: what the environment says is not for a server. */
        answer = OSSL_HTTP_transfer(NULL, host, port, target, 0, "", NULL, NULL, NULL, NULL, NULL, 0, NULL,
                                    "application/ocsp-request", question, "application/ocsp-response", 1,
                                    ANSWER_MAX, TIMEOUT_S, 0);
    BIO_free(question);
    OPENSSL_free(host);
    OPENSSL_free(port);
    OPENSSL_free(path);
    OPENSSL_free(query);
    free(target);
    return answer;
}

/* --- the answer --- */

/* NULL, or what is wrong with it; "": the library says. */
static const char *read_basic(struct net_tls_question *q, OCSP_BASICRESP *basic, unsigned long flags)
{
    ASN1_GENERALIZEDTIME *from = NULL, *until = NULL;
    int status = V_OCSP_CERTSTATUS_UNKNOWN;
    if (OCSP_basic_verify(basic, q->beside, q->store, flags) != 1)
        return "";
    OCSP_CERTID *id = OCSP_cert_to_id(NULL, q->certificate, q->issuer);
    bool found = id && OCSP_resp_find_status(basic, id, &status, NULL, NULL, &from, &until) == 1;
    OCSP_CERTID_free(id);
    if (!found)
        return "it is about another certificate";
    if (OCSP_check_validity(from, until, CLOCKS_DIFFER_S, -1) != 1)
        return "";
    q->status = status == V_OCSP_CERTSTATUS_GOOD      ? NET_TLS_STATUS_GOOD
                : status == V_OCSP_CERTSTATUS_REVOKED ? NET_TLS_STATUS_REVOKED
                                                      : NET_TLS_STATUS_UNKNOWN;
    q->valid_until_s = until ? net_tls_seconds_of(until) : INT64_MAX;
    return NULL;
}

static const char *read_answer(struct net_tls_question *q, const unsigned char *data, long len,
                               unsigned long flags)
{
    const unsigned char *at = data;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, len);
    if (!response)
        return "";
    int status = OCSP_response_status(response);
    OCSP_BASICRESP *basic =
        status == OCSP_RESPONSE_STATUS_SUCCESSFUL ? OCSP_response_get1_basic(response) : NULL;
    const char *wrong = status != OCSP_RESPONSE_STATUS_SUCCESSFUL ? OCSP_response_status_str(status)
                        : basic                                   ? read_basic(q, basic, flags)
                                                                  : "";
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    return wrong;
}

bool net_tls_ask(struct net_tls_question *q, unsigned long flags, char error[NET_TLS_ERROR_BYTES])
{
    unsigned char *data = NULL;
    const char *wrong = "";
    ERR_clear_error();
    BIO *answer = send_question(q);
    long len = answer ? BIO_get_mem_data(answer, (char **)&data) : 0;
    if (len > 0)
        wrong = read_answer(q, data, len, flags);
    if (!wrong) {
        q->answer = OPENSSL_memdup(data, (size_t)len);
        q->answer_len = q->answer ? (size_t)len : 0;
    } else {
        snprintf(error, NET_TLS_ERROR_BYTES, "the OCSP responder \"%s\" %s: %s", q->responder,
                 len > 0 ? "gives an answer that is no good" : "gives no answer",
                 wrong[0] ? wrong : net_tls_last_error());
    }
    ERR_clear_error();
    BIO_free(answer);
    return !wrong;
}
