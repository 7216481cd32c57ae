/*
 * master/internal.h - what the files of master/ share.
 */
#ifndef WEIR_MASTER_INTERNAL_H
#define WEIR_MASTER_INTERNAL_H

#include "master/child.h"
#include "master/master.h"
#include "pool/figures.h"
#include "shm/shm.h"
#include "worker/worker.h"

#include <limits.h>
#include <sys/types.h>

/* A reload whose new workers are not all ready yet. */
struct pending_reload {
    struct conf *conf; /* NULL when there is none */
    struct site *site;
    uint64_t generation;
    uint64_t family;
    uint64_t deadline_ms;
    uid_t uid;
    gid_t gid;
};

/* How siblings reach the worker of a slot: master/doors.c. */
struct door {
    int speaks;
    bool is_open;
    uint64_t incarnation; /* of the slot's worker, from 1 */
};

struct master {
    const struct master_options *options;
    struct conf *conf;
    struct site *site;
    struct shm *shm;
    struct child children[SHM_SLOTS];
    struct door doors[SHM_SLOTS];
    uint64_t generation;
    uint64_t family;      /* of the workers; never the same again */
    uint64_t families;    /* the last one that was given */
    int target;           /* workers wanted; TTIN and TTOU change it */
    bool stopping;        /* TERM, INT or QUIT came */
    bool without_workers; /* WINCH came */
    /* The service manager knows that we are ready. */
    bool announced;
    struct pending_reload reload;
    uint64_t live_reload_deadline_ms; /* workers owe answers until then; 0: none */
    bool live_reload_failed;
    pid_t upgraded_pid;   /* the new binary's master, or 0 */
    bool upgraded_shares; /* it was handed the permits */
    /* Sockets and pid file belong to the new binary. */
    bool handed_over;
    /* The new binary says here that it serves; -1: it has, or there is none. */
    int upgraded_fd;
    /* Of two masters the service manager watches this one. */
    bool is_main;
    uid_t uid;
    gid_t gid;
    char binary[PATH_MAX];
    /* Where our pid stands, or will stand again after a newer binary's end. */
    char pid_path[PATH_MAX];
    uint64_t watchdog_every_ms, next_watchdog_ms;
    uint64_t next_look_ms; /* whether the workers' loops turn */
    /* When to look at what is shared with another binary; 0: nothing is. */
    uint64_t next_permits_ms;
    uint64_t next_tickets_ms;
    uint64_t next_certificates_ms;
};

/* --- master/workers.c --- */

/* The workers of the configuration in force, at the beginning; one that cannot start yet is tried again. */
void workers_start_all(struct master *m);

/* Starts `count` workers of a site, each in a free slot, with indexes from `first`. False when one could not start. */
bool workers_start(struct master *m, struct site *site, uint64_t generation, int count, int first);
void workers_reap(struct master *m);

/* Sends a signal to all workers of one generation (0: all). QUIT and TERM make them retire. */
void workers_signal(struct master *m, int signal, uint64_t generation);
void workers_do_timers(struct master *m, uint64_t now_ms);
void workers_read_channels(struct master *m);
void workers_change_count(struct master *m, int by);
int workers_alive(const struct master *m);
bool workers_all_ready(const struct master *m, uint64_t generation);

/* --- master/doors.c --- */

/* A new door for the worker that the slot is to have: returns the end that hears; -1: there is none. */
int doors_make(struct master *m, int slot);

/* The worker runs: the others hear of its door. */
void doors_announce(struct master *m, int slot);

/* In the child, which has this end. */
void doors_keep_own(struct master *m, int slot, int hears, struct worker_doors *doors);

/* There is no worker for the door. */
void doors_close(struct master *m, int slot);

/* The slot's worker is gone, and its door with it: those that wait for something of it hear so. */
void doors_tell_of_death(struct master *m, int slot);

/* A message to a worker with a descriptor beside it. False: its channel is full, or closed. */
bool doors_send(int channel, const struct worker_message *m, int fd);

/* --- master/stalled.c --- */

/* Asks the workers whether their loops turn, and ends those that do not. Returns when to come again, in monotonic time; 0: never. */
uint64_t stalled_look(struct master *m, uint64_t now_ms);

/* Whether some worker's loop has turned lately, or none has to. */
bool stalled_not_all(const struct master *m, uint64_t now_ms);

/* Says what a worker that has died was running, and forgets it. */
void stalled_log_running(struct master *m, int slot, bool say);

/* --- master/reload.c --- */
void reload_begin(struct master *m);

/* Goes on when workers became ready, died, answered, or time passed. */
void reload_continue(struct master *m, uint64_t now_ms);

/* --- master/sockets.c --- */

/* Opens the site's listening sockets, taking over what `old` (or NULL) or the environment has. False: logged. */
bool sockets_open(struct site *site, struct site *old);

/* -t: whether the addresses could be bound; one that is in use may be our own. False: logged. */
bool sockets_test(struct site *site);

/* After sockets_open: the ones taken over are the new site's alone. */
void sockets_disown(struct site *old, const struct site *site);

/* In a worker: closes the sockets of a site that `kept` does not have; a port is free once nobody holds it. */
void sockets_close_others(struct site *site, const struct site *kept);

/* Closes all of a site's sockets in this process. */
void sockets_close(struct site *site);

/* Reads what a service manager or an older binary handed on. */
void sockets_read_environment(void);
void sockets_close_unused(void);

/* Whether this binary was started by USR2: then the daemon is one already. */
bool sockets_from_older_binary(void);

/* Whether what WEIR_PERMITS says is that binary's word: a release that does not know it leaves that of its predecessor there. */
bool sockets_older_knows_permits(void);

/* That binary's master while it lives; 0: there is none. */
pid_t sockets_older_master(void);

/* Removes the files of a site's unix sockets, but for those that `kept` (or NULL) has as well, and those of others. */
void sockets_remove_files(const struct site *site, const struct site *kept);

/* Only those on which nobody listens any more: the sockets of this process and its workers are closed. */
void sockets_remove_stale_files(const struct site *site);

/* --- master/shared.c --- */

/* Makes the shared memory, and sees to its locks. False: logged. */
bool shared_open(struct master *m);

/* A turn of the loop begins, with its own patience for locks. Says what the last one has had to take by force. */
void shared_begin_turn(void);

/* What the dead worker of this slot held is given back; tables that somebody has overwritten are made anew. */
void shared_reclaim(struct master *m, int slot);

/* At a reload: what stands for slots that have no worker goes; tables that somebody has overwritten are made anew. */
void shared_look_over(struct master *m);

/* A worker could not start: where that may be because tables are full, what nobody uses makes room soon. */
void shared_make_room(struct master *m);

/* Ends the worker of this pid, which holds a lock and does not go on. If it is none of ours, nobody has the lock. */
void shared_end_holder(struct master *m, uint32_t pid);

/* Likewise for what the other binary's master asks for. */
void shared_end_asked(struct master *m);

/* --- master/tls_sessions.c --- */

/* Before the first site is built: the caches of an older binary, for the sites that name them. */
void sessions_take_over(void);

/* Behind it: the caches that it has not named are closed; the keys of tickets are an older binary's, or new ones. */
void tickets_open(void);

/* Before the new binary is run: the environment says where both are. False: out of memory. */
bool sessions_pass_on(void);

/* Changes the keys in time. Returns when to come again; 0: never. */
uint64_t tickets_look(const struct master *m, uint64_t now_ms);

/* --- master/certificates.c --- */

/* Looks whether files of certificates have changed; at_once: also those that have only just. */
void certificates_take_changes(struct master *m, bool at_once);

/* The same every few seconds. Returns when to come again; 0: never. */
uint64_t certificates_look_in_time(struct master *m, uint64_t now_ms);

/* --- master/permits.c --- */

/* Whether the next binary can share them: no other one does. */
bool permits_can_pass_on(const struct shm *shm);

/* Before the new binary is run: the environment says where they are. False: out of memory. */
bool permits_pass_on(const struct shm *shm);

/* In the new binary, whose own are not in use yet. Logs whether the older one's are shared. */
void permits_take_over(struct shm *shm, const struct conf *conf);

/* This process holds a lock and is no worker of ours: whether it is for the other binary's master to end it. */
bool permits_leave_to_other(struct master *m, uint32_t process, uint64_t now_ms);

/* Looks after what another binary's master that is gone has left. Returns when to come again; 0: never. */
uint64_t permits_look(struct master *m, uint64_t now_ms);

/* --- master/zones.c --- */

/* Finds or makes the zones of a configuration; existing ones keep their rules. False: logged. */
bool zones_open(struct shm *shm, struct conf *conf, const struct conf *in_force);

/* Frees the memory of keyed zones of earlier configurations. Only while no worker of an earlier one is alive. */
void zones_prune(struct shm *shm, const struct conf *in_force);

/* The configuration is in force: its zones follow its rules. */
void zones_apply(struct shm *shm, const struct conf *conf);

/* --- master/process.c --- */
bool process_find_user(struct conf *conf, uid_t *uid, gid_t *gid);
bool process_open_logs(struct site *site);
bool process_make_temp_dirs(struct conf *conf, uid_t uid, gid_t gid);
bool process_write_pid(struct conf *conf);

/* -t: whether it could be written. False: logged. */
bool process_test_pid(struct conf *conf);
bool process_daemonize(void);
void process_daemon_ready(void);

/* --- master/upgrade.c --- */

/* Before the new binary is run by the master `self`: its descriptors stay open over that, and the environment says which they are. */
bool upgrade_pass_on(const struct site *site, const struct shm *shm, int ready_fd, pid_t self);
void upgrade_begin(struct master *m);
void upgrade_ended(struct master *m, int status);

/* Looks whether the new binary serves: then it is the service's main process. */
void upgrade_continue(struct master *m);

/* Before workers are started: what they start has nothing to say to the older binary. */
void upgrade_keep_to_itself(void);

/* In the new binary, once it serves. False when there is no older one that waits for it. */
bool upgrade_tell_older(void);

/* --- master/notify.c --- */

/* Tells the service manager (sd_notify's protocol), if there is one. Lines are assignments; a text of ours must not have one. */
void notify_state(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t notify_watchdog_ms(void);

#endif
