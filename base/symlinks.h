/*
 * base/symlinks.h - opening a file without following links that are not to be trusted (nginx, disable_symlinks).
 *
 * Threads: any.
 */
#ifndef WEIR_BASE_SYMLINKS_H
#define WEIR_BASE_SYMLINKS_H

#include "base/slice.h"

enum symlinks { SYMLINKS_FOLLOW, SYMLINKS_NONE, SYMLINKS_IF_NOT_OWNER };

/*
 * Opens for reading, as open(2) with O_NONBLOCK does. mode is an enum symlinks: a link in the path is an error
 * (ELOOP), or one whose owner is not that of what it points to. `from`, where the path begins with it, is a part in which
 * links are right; it ends at a "/". Whoever replaces a part of the path meanwhile gains nothing. -1 with errno.
 */
int symlinks_open(const char *path, int mode, struct slice from);

#endif
