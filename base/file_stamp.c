/*
 * base/file_stamp.c - what tells a file from what stood there before: its place on the disk, its size and its times.
 */
#include "base/file_stamp.h"

#include <string.h>
#include <sys/stat.h>

static uint64_t nanoseconds(struct timespec t)
{
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct file_stamp file_stamp_of(const char *path)
{
    struct stat st;
    if (!path || stat(path, &st) < 0)
        return (struct file_stamp){0};
    return (struct file_stamp){(uint64_t)st.st_dev, (uint64_t)st.st_ino, (uint64_t)st.st_size,
                               nanoseconds(st.st_mtim), nanoseconds(st.st_ctim)};
}

bool file_stamps_agree(const struct file_stamp *a, const struct file_stamp *b)
{
    return memcmp(a, b, sizeof *a) == 0; /* there are no gaps */
}
