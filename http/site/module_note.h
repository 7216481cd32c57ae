/*
 * http/site/module_note.h - what of a module a reload cannot take over. For http/site/module.c.
 */
#ifndef WEIR_HTTP_SITE_MODULE_NOTE_H
#define WEIR_HTTP_SITE_MODULE_NOTE_H

#include "base/arena.h"

/* What an operator has to know of this module's file, now that it is loaded: a text for a warning, or an empty one. */
struct slice module_note_of(struct arena *arena, struct slice path, struct slice file);

#endif
