"""weir beside nginx: the same configurations and requests, and what differs must be a row of differences.py."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import differences  # noqa: E402
import run  # noqa: E402
import sides  # noqa: E402
import suite  # noqa: E402

pytestmark = pytest.mark.skipif(not sides.find_nginx(), reason="needs nginx: bench/fetch-tools.sh nginx")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.timeout((600 if suite.LONG else 120) * sides.SLOW)
@pytest.mark.parametrize("topic", suite.TOPICS)
def test_same_as_nginx(topic, record_property):
    """Whatever differs in a topic has its reason, and each reason is needed."""
    result = suite.Topic(topic).run()
    record_property("differential", (result.cases, result.requests, result.values, result.seconds))
    left, unneeded = differences.explain(topic, result.diffs)
    found = result.problems + [f"unneeded row: {row.what}" for row in unneeded]
    if left:
        found.append(f"{len(left)} differences without a reason\n{run.show(left)}")
    if found:
        pytest.fail("\n".join(found), pytrace=False)
