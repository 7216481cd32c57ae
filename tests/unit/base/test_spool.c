/*
 * tests/unit/base/test_spool.c - the spool, checked against a plain array that holds the same bytes: in memory, in a file, over a disk
 * that fails, and with several readers.
 */
#include "base/spool.h"

#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static const char dir[] = "/tmp";

static struct spool new_spool(void)
{
    return (struct spool){.fd = -1};
}

/* Whether the next bytes are these, wherever they lie; takes them. */
static bool reads(struct spool_reader *r, struct slice wanted)
{
    char bytes[4096];
    while (wanted.len > 0) {
        struct spool_stretch next;
        if (!spool_look(r, &next))
            return false;
        size_t n = next.len < wanted.len ? next.len : wanted.len;
        n = n < sizeof bytes ? n : sizeof bytes;
        if (next.fd >= 0) {
            if (pread(next.fd, bytes, n, next.offset) != (ssize_t)n)
                return false;
            next.data = bytes;
        }
        if (memcmp(next.data, wanted.data, n) != 0 || !spool_take(r, n))
            return false;
        wanted = slice_from(wanted, n);
    }
    return true;
}

static bool is_read_empty(const struct spool_reader *r)
{
    struct spool_stretch next;
    return !spool_look(r, &next);
}

static off_t size_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? st.st_size : -1;
}

/* No file of this process grows beyond so many bytes: the disk is full there. RLIM_INFINITY: it has room again. */
static void fill_disk(rlim_t room)
{
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    CU_ASSERT_FATAL(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = room < limit.rlim_max ? room : limit.rlim_max;
    CU_ASSERT_FATAL(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void keeps_in_memory(void)
{
    struct spool s = new_spool();
    struct spool_reader r;
    spool_attach(&s, &r);
    CU_ASSERT(is_read_empty(&r));
    CU_ASSERT(spool_append(&s, "hello ", 6));
    char *room = spool_reserve(&s, 100);
    CU_ASSERT_FATAL(room != NULL);
    memcpy(room, "world", 5);
    spool_commit(&s, 5);
    CHECK_NUMBER(spool_in_memory(&s), 11);
    CU_ASSERT(reads(&r, SLICE("hello wor")));
    CHECK_NUMBER(spool_in_memory(&s), 2);
    CU_ASSERT(reads(&r, SLICE("ld")));
    CU_ASSERT(is_read_empty(&r));
    CHECK_NUMBER(s.fd, -1);
    spool_free(&s);
}

static void goes_on_in_a_file(void)
{
    struct spool s = new_spool();
    struct spool_reader r;
    spool_attach(&s, &r);
    CU_ASSERT(spool_append(&s, "memory ", 7));
    CHECK_NUMBER(spool_append_to_file(&s, dir, "file ", 5), SPOOL_OK);
    CU_ASSERT(spool_append(&s, "behind", 6)); /* not before the file, though it is memory */
    CHECK_NUMBER(spool_in_file(&s), 5);
    CHECK_NUMBER(size_of(s.fd), 5);
    CU_ASSERT(reads(&r, SLICE("memory fi")));
    CHECK_NUMBER(size_of(s.fd), 5);
    CU_ASSERT(reads(&r, SLICE("le ")));
    CHECK_NUMBER(size_of(s.fd), 0); /* its room is free again */
    CHECK_NUMBER(buf_len(&s.behind), 0);
    CU_ASSERT(reads(&r, SLICE("behind")));
    CHECK_NUMBER(spool_append_to_file(&s, dir, "again", 5), SPOOL_OK);
    CHECK_NUMBER(s.file_end, 5); /* from its beginning */
    CU_ASSERT(reads(&r, SLICE("again")));
    CU_ASSERT(is_read_empty(&r));
    spool_free(&s);
    CHECK_NUMBER(s.fd, -1);
}

static void moves_to_a_file(void)
{
    struct spool s = new_spool();
    struct spool_reader r;
    spool_attach(&s, &r);
    CU_ASSERT(spool_append(&s, "one", 3));
    CU_ASSERT(spool_move_to_file(&s, dir));
    CU_ASSERT(spool_append(&s, "two", 3));
    CHECK_NUMBER(spool_in_memory(&s), 3);
    CU_ASSERT(spool_move_to_file(&s, dir));
    CHECK_NUMBER(spool_in_memory(&s), 0);
    CHECK_NUMBER(size_of(s.fd), 6);
    CU_ASSERT(reads(&r, SLICE("onetwo")));
    spool_free(&s);
}

static void survives_a_full_disk(void)
{
    struct spool s = new_spool();
    struct spool_reader r;
    spool_attach(&s, &r);
    CU_ASSERT(spool_append(&s, "a", 1));
    fill_disk(4);
    CHECK_NUMBER(spool_append_to_file(&s, dir, "bcdefg", 6), SPOOL_DISK_FAILED);
    CHECK_SLICE(slice_of(s.failed), "write");
    CHECK_NUMBER(s.error, EFBIG);
    CHECK_NUMBER(spool_in_file(&s), 4);
    CHECK_NUMBER(spool_append_to_file(&s, dir, "hi", 2), SPOOL_OK); /* nothing is said twice */
    fill_disk(RLIM_INFINITY);
    CHECK_NUMBER(spool_append_to_file(&s, dir, "jk", 2), SPOOL_OK);
    CHECK_NUMBER(spool_in_file(&s), 4);
    CU_ASSERT(reads(&r, SLICE("abcdefghijk")));
    CU_ASSERT(is_read_empty(&r));
    spool_free(&s);
    CU_ASSERT_PTR_NULL(s.failed);
}

static void survives_a_disk_that_is_full_while_it_moves(void)
{
    struct spool s = new_spool();
    struct spool_reader r;
    spool_attach(&s, &r);
    CU_ASSERT(spool_append(&s, "abcdef", 6));
    fill_disk(2);
    CU_ASSERT_FALSE(spool_move_to_file(&s, dir));
    fill_disk(RLIM_INFINITY);
    CU_ASSERT(spool_append(&s, "gh", 2));
    CU_ASSERT_FALSE(spool_move_to_file(&s, dir));
    CHECK_NUMBER(spool_in_file(&s), 2);
    CU_ASSERT(reads(&r, SLICE("abcdefgh")));
    spool_free(&s);
}

static void says_that_there_is_no_directory(void)
{
    struct spool s = new_spool();
    struct spool_reader r;
    spool_attach(&s, &r);
    CHECK_NUMBER(spool_append_to_file(&s, "/proc/none", "abc", 3), SPOOL_DISK_FAILED);
    CHECK_SLICE(slice_of(s.failed), "open");
    CHECK_NUMBER(s.fd, -1);
    CU_ASSERT(reads(&r, SLICE("abc")));
    spool_free(&s);
}

static void says_that_a_file_cannot_be_emptied(void)
{
    struct spool s = new_spool();
    struct spool_reader r;
    struct spool_stretch next;
    s.fd = open("/dev/full", O_RDWR | O_CLOEXEC);
    s.file_end = 3; /* as if written */
    spool_attach(&s, &r);
    CU_ASSERT(spool_append(&s, "behind", 6));
    CU_ASSERT(spool_look(&r, &next) && next.fd == s.fd && next.len == 3);
    CU_ASSERT_FALSE(spool_take(&r, 3));
    CHECK_SLICE(slice_of(s.failed), "truncate");
    CU_ASSERT(reads(&r, SLICE("behind")));
    spool_free(&s);
}

static void gives_back_what_all_have_read(void)
{
    struct spool s = new_spool();
    struct spool_reader fast, slow, late;
    spool_attach(&s, &fast);
    spool_attach(&s, &slow);
    CU_ASSERT(spool_append(&s, "memory", 6));
    CHECK_NUMBER(spool_append_to_file(&s, dir, "file", 4), SPOOL_OK);
    CU_ASSERT(spool_append(&s, "behind", 6));
    CU_ASSERT(reads(&fast, SLICE("memoryfilebehind")));
    CU_ASSERT(is_read_empty(&fast));
    CHECK_NUMBER(spool_in_memory(&s), 12); /* for the slow one */
    CHECK_NUMBER(size_of(s.fd), 4);
    CU_ASSERT(reads(&slow, SLICE("memoryfi")));
    CHECK_NUMBER(spool_in_memory(&s), 6);
    spool_attach(&s, &late); /* from what is still there */
    CU_ASSERT(reads(&late, SLICE("le")));
    CU_ASSERT(reads(&slow, SLICE("lebeh")));
    CHECK_NUMBER(size_of(s.fd), 0);
    CU_ASSERT(reads(&late, SLICE("behi")));
    spool_detach(&slow);
    CHECK_NUMBER(spool_in_memory(&s), 2); /* one that has left holds nothing back */
    CU_ASSERT(spool_append(&s, "!", 1));
    CU_ASSERT(reads(&fast, SLICE("!")) && reads(&late, SLICE("nd!")));
    CHECK_NUMBER(spool_in_memory(&s), 0);
    spool_free(&s);
}

static void keeps_all_without_readers(void)
{
    struct spool s = new_spool();
    struct spool_reader r;
    CU_ASSERT(spool_append(&s, "kept", 4));
    spool_attach(&s, &r);
    spool_detach(&r);
    CHECK_NUMBER(spool_in_memory(&s), 4);
    spool_attach(&s, &r);
    CU_ASSERT(reads(&r, SLICE("kept")));
    spool_empty(&s);
    CU_ASSERT_PTR_NULL(s.readers);
    spool_free(&s);
}

static void holds_what_a_plain_array_would(void)
{
    enum { BYTES = 200000, READERS = 3 };
    static char all[BYTES];
    struct spool s = new_spool();
    struct spool_reader readers[READERS];
    uint64_t seed = 88172645463325252ull, wrong = 0;
    size_t in = 0, out[READERS] = {0}, least = 0;
    for (size_t i = 0; i < BYTES; i++)
        all[i] = (char)check_random(&seed);
    for (int i = 0; i < READERS; i++)
        spool_attach(&s, &readers[i]);
    while (least < BYTES) {
        size_t n = check_random(&seed) % 900;
        n = n < BYTES - in ? n : BYTES - in;
        if (check_random(&seed) % 3 == 0)
            wrong += !spool_append(&s, all + in, n);
        else
            wrong += spool_append_to_file(&s, dir, all + in, n) != SPOOL_OK;
        in += n;
        least = BYTES;
        for (int i = 0; i < READERS; i++) {
            size_t take = check_random(&seed) % 900;
            take = take < in - out[i] ? take : in - out[i];
            wrong += !reads(&readers[i], (struct slice){all + out[i], take});
            out[i] += take;
            least = out[i] < least ? out[i] : least;
        }
        wrong += spool_in_memory(&s) + spool_in_file(&s) != in - least;
    }
    CHECK_NUMBER(wrong, 0);
    spool_free(&s);
}

static const struct check_case cases[] = {
    {"keeps in memory", keeps_in_memory},
    {"goes on in a file", goes_on_in_a_file},
    {"moves to a file", moves_to_a_file},
    {"survives a full disk", survives_a_full_disk},
    {"survives a disk that is full while it moves", survives_a_disk_that_is_full_while_it_moves},
    {"says that there is no directory", says_that_there_is_no_directory},
    {"says that a file cannot be emptied", says_that_a_file_cannot_be_emptied},
    {"gives back what all have read", gives_back_what_all_have_read},
    {"keeps all without readers", keeps_all_without_readers},
    {"holds what a plain array would", holds_what_a_plain_array_would},
};

CHECK_MAIN("base/spool", cases)
