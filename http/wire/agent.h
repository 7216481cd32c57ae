/*
 * http/wire/agent.h - what a User-Agent says of a browser that is known to go wrong.
 */
#ifndef WEIR_HTTP_WIRE_AGENT_H
#define WEIR_HTTP_WIRE_AGENT_H

#include "base/slice.h"

#include <stdbool.h>

/*
 * Whether it is what nginx calls msie6: Internet Explorer 4 to 6, but for version 6 of Windows XP's second service pack
 * ("SV1"), which goes wrong no more.
 */
bool http_agent_is_msie6(struct slice agent);

#endif
