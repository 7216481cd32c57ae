/*
 * base/file_stamp.h - what tells a file from what stood there before.
 *
 * Threads: any.
 */
#ifndef WEIR_BASE_FILE_STAMP_H
#define WEIR_BASE_FILE_STAMP_H

#include <stdbool.h>
#include <stdint.h>

struct file_stamp {
    uint64_t device, inode, size, changed_ns, touched_ns;
};

/* Of a file that is not there all is 0, and of NULL. */
struct file_stamp file_stamp_of(const char *path);

bool file_stamps_agree(const struct file_stamp *a, const struct file_stamp *b);

#endif
