"""python3 tests/differential/run.py [TOPIC [CASE-REGEX]]: what differs, with the rows of differences.py taken off.

-a shows what the rows explain as well, -k FOLDER keeps configurations and logs there.
"""

import argparse
import collections
import re
import sys

import suite
import differences


WIDTH = 400  # of what is shown of a value


def show(diffs, most=6):
    """Text of differences, those of one kind and table together, and of each the first of its kind."""
    kinds = collections.OrderedDict()
    for each in diffs:
        kinds.setdefault((each.topic, each.field, each.case.name.partition(":")[0]), []).append(each)
    lines = []
    for (topic, field, table), some in sorted(kinds.items(), key=lambda item: item[0]):
        lines.append(f"{topic}: {field} ({len(some)}) in {table}")
        pairs = {(str(each.nginx), str(each.weir)): each for each in reversed(some)}
        for each in sorted(list(pairs.values())[::-1][:most], key=lambda each: each.case.number):
            lines.append(f"  {each.case.name}   {short(each.request)}\n      nginx {str(each.nginx)[:WIDTH]}\n      weir  "
                f"{str(each.weir)[:WIDTH]}")
    return "\n".join(lines)


def short(request):
    return request.replace(" HTTP/1.1|Host: h.test", "").replace("|Connection: close||", "")


def line(diff):
    return f"{diff.field} | {diff.case.name} | {short(diff.request)} | {diff.nginx} | {diff.weir}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("topic", nargs="?")
    parser.add_argument("case", nargs="?")
    parser.add_argument("-a", action="store_true")
    parser.add_argument("-k")
    parser.add_argument("-l", action="store_true", help="a line for each difference")
    parser.add_argument("-n", type=int, default=6)
    parser.add_argument("-x", default="$^", help="leave out differences of this kind (a regular expression)")
    given = parser.parse_args()
    bad = 0
    for name in [given.topic] if given.topic and given.topic != "all" else suite.TOPICS:
        result = suite.Topic(name, given.case).run(given.k)
        left, unneeded = differences.explain(name, result.diffs)
        left = [each for each in (result.diffs if given.a else left) if not re.fullmatch(given.x, each.field)]
        print("\n".join(map(line, left)) if given.l else show(left, given.n))
        for row in [] if given.case else unneeded:
            print(f"unneeded row: {row.what}")
        for problem in result.problems:
            print(problem)
        print(f"== {name}: {result.cases} cases, {result.requests} requests, {result.values} values, "
              f"{len(result.diffs)} differences, {len(left)} without a reason, {result.seconds:.1f} s")
        bad += len(left)
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
