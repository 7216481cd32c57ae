/*
 * master/master.h - the master process: it reads the configuration, opens sockets, keeps workers alive, and obeys
 * signals. It never reads a client's byte.
 *
 * Threads: the master is single-threaded.
 */
#ifndef WEIR_MASTER_MASTER_H
#define WEIR_MASTER_MASTER_H

#include "conf/conf.h"

/* argv as the process got it, for starting a new binary on USR2. */
struct master_options {
    struct conf_options conf;
    char *const *argv;
};

/* Takes over conf and runs until told to stop. Returns the process's exit code. */
int master_run(const struct master_options *options, struct conf *conf);

/* -t: whether the configuration could be run. Mistakes are added to conf->errors. */
bool master_test(struct conf *conf);

/* Whether -s takes this name. */
bool master_knows_signal(const char *name);

/* -s NAME: signals the running master. Returns NULL, or what is wrong. The text lives in the conf's arena. */
const char *master_send_signal(struct conf *conf, const char *name);

#endif
