/*
 * base/title.h - what ps shows of a process, in the place of its command line.
 *
 * Threads: the main thread of a process.
 */
#ifndef WEIR_BASE_TITLE_H
#define WEIR_BASE_TITLE_H

/*
 * To be called first in main: copies arguments and environment away from the area that ps reads. Returns the copy of argv,
 * which lives as long as the process; argv itself when memory is out, and then titles are not set.
 */
char **title_init(int argc, char **argv);

/* printf of the title; what does not fit into the area is cut. */
void title_set(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The command line as it was, its words with blanks between them. */
const char *title_command(void);

#endif
