/*
 * tests/unit/net/test_tls_memory.c - blocks of a connection's size lie close together, are not mixed up by threads, and survive a change of
 * size.
 */
#include "net/tls.h"

#include "tests/unit/check.h"

#include <openssl/crypto.h>
#include <pthread.h>

enum { SIZE = 7608, BLOCKS = 300, THREADS = 4, ROUNDS = 200, MOST_EACH = 7700 };

static void blocks_lie_close(void)
{
    char *got[BLOCKS], *least = (char *)UINTPTR_MAX, *most = NULL;
    for (int i = 0; i < BLOCKS; i++) {
        got[i] = OPENSSL_malloc(SIZE);
        memset(got[i], i, SIZE);
        least = got[i] < least ? got[i] : least;
        most = got[i] > most ? got[i] : most;
    }
    /* With a sanitizer of addresses they are the general allocator's. */
    if (check_slowness() == 1)
        CU_ASSERT((size_t)(most - least) <= (size_t)BLOCKS * MOST_EACH);
    for (int i = 0; i < BLOCKS; i++) {
        CU_ASSERT(got[i][0] == (char)i && got[i][SIZE - 1] == (char)i);
        OPENSSL_free(got[i]);
    }
    /* After all of them have gone back the system has them, and they are there again. */
    char *again = OPENSSL_zalloc(SIZE);
    CU_ASSERT(again && again[0] == 0 && again[SIZE - 1] == 0);
    OPENSSL_free(again);
}

static void other_sizes(void)
{
    char *p = OPENSSL_malloc(SIZE);
    for (int i = 0; i < SIZE; i++)
        p[i] = (char)i;
    p = OPENSSL_realloc(p, 20000);
    CU_ASSERT_FATAL(p != NULL);
    for (int i = 0; i < SIZE; i++)
        CU_ASSERT_FATAL(p[i] == (char)i);
    p = OPENSSL_realloc(p, 10);
    CU_ASSERT(p && p[9] == 9);
    OPENSSL_free(p);
    p = OPENSSL_malloc(SIZE);
    CU_ASSERT(OPENSSL_realloc(p, 0) == NULL);
}

static void *take_and_give(void *with)
{
    char *got[16];
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < 16; i++) {
            got[i] = OPENSSL_malloc(SIZE);
            memset(got[i], (int)(intptr_t)with, SIZE);
        }
        for (int i = 0; i < 16; i++) {
            if (got[i][0] != (char)(intptr_t)with || got[i][SIZE - 1] != (char)(intptr_t)with)
                return with;
            OPENSSL_free(got[i]);
        }
    }
    return NULL;
}

static void threads(void)
{
    pthread_t thread[THREADS];
    for (intptr_t i = 0; i < THREADS; i++)
        CU_ASSERT_FATAL(pthread_create(&thread[i], NULL, take_and_give, (void *)(i + 1)) == 0);
    for (int i = 0; i < THREADS; i++) {
        void *wrong;
        pthread_join(thread[i], &wrong);
        CU_ASSERT_PTR_NULL(wrong);
    }
}

static const struct check_case cases[] = {
    {"blocks lie close", blocks_lie_close},
    {"other sizes", other_sizes},
    {"threads", threads},
};

int main(void)
{
    net_tls_begin_process();
    return check_main("tls memory", cases, sizeof cases / sizeof cases[0]);
}
