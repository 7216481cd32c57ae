/*
 * http/wire/priority.c - how urgent a client calls a request: the field Priority (RFC 9218).
 */
#include "http/wire/priority.h"

int http_urgency(struct slice field)
{
    struct slice member;
    int urgency = HTTP_URGENCY_DEFAULT;
    /* Of several members of one name the last one counts (RFC 8941 section 3.2); parameters have no meaning yet. */
    while (slice_next_in_list(&field, &member)) {
        bool is_urgency = member.len >= 3 && member.data[0] == 'u' && member.data[1] == '=';
        bool ends = is_urgency && (member.len == 3 || member.data[3] == ';');
        if (ends && member.data[2] >= '0' && member.data[2] <= '0' + HTTP_URGENCY_LEAST)
            urgency = member.data[2] - '0';
    }
    return urgency;
}
