/*
 * http/h2/defence.h - what a client may have done for it without asking for anything: frames, resets.
 *
 * A client pays a token for each frame that costs more here than there: a reset of either side's, PING, SETTINGS, PRIORITY, empty
 * frames, tiny windows (CVE-2019-9512 to 9518, CVE-2023-44487, CVE-2025-8671). Tokens come back with time. At three quarters it is
 * told to go (GOAWAY, ENHANCE_YOUR_CALM) and what runs is finished; at the end the connection is closed.
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_H2_DEFENCE_H
#define WEIR_HTTP_H2_DEFENCE_H

#include "http/h2/session.h"

void h2_budget_open(struct h2_session *s);

/* So many tokens are spent. */
void h2_spend(struct h2_session *s, int tokens);

#endif
