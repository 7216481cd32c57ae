/*
 * http/wire/agent.c - browsers by their User-Agent, as nginx tells them: by words in it, whose case counts.
 */
#include "http/wire/agent.h"

#include "base/slice.h"

#include <string.h>

bool http_agent_is_msie6(struct slice agent)
{
    const char *msie = memmem(agent.data, agent.len, "MSIE ", 5);
    if (!msie)
        return false;
    struct slice version = slice_from(agent, (size_t)(msie - agent.data) + 5);
    if (version.len < 3 || version.data[1] != '.') /* "6.0" */
        return false;
    struct slice rest = slice_from(version, 3);
    return version.data[0] == '4' || version.data[0] == '5' ||
           (version.data[0] == '6' && !memmem(rest.data, rest.len, "SV1", 3));
}
