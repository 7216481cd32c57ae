/*
 * http/h2/frames.h - what nghttp2 tells of frames: who is to hear of it.
 *
 * Threads: the loop's.
 */
#ifndef WEIR_HTTP_H2_FRAMES_H
#define WEIR_HTTP_H2_FRAMES_H

#include "http/h2/session.h"

/* A session of nghttp2 that tells of its frames. False: out of memory. */
bool h2_frames_open(struct h2_session *s);

#endif
