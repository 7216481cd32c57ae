"""Accept-Encoding: which clients get gzip, made here or lying beside a file; and the weights of the status's Accept."""

import gzip

import pytest
from weirlib import config

TAKEN = ["gzip", "GZIP", "gzip;q=1", "gzip;Q=0.5", "gzip;q=0.001", "gzip;q=1.000", "gzip ; q=0.5", "identity, gzip", "*", "*;q=0.5",
         ["br", "gzip"], ["gzip", "br"], ["*;q=0", "gzip"]]
REFUSED = ["", "br", "x-gzip", "gzip;q=0", "gzip;Q=0", "gzip; Q=0.000", "*;Q=0", "*, gzip;Q=0", ["gzip", "gzip;q=0"], ["gzip;q=0", "gzip"],
           ["*", "gzip;Q=0"], ["br", "identity"],
           "gzip;q=", "gzip;q=2", "gzip;q=1.001", "gzip;q=0.0001", "gzip;q=-1", "gzip;q=a", "gzip;q=0.5x", "gzip;q=.5", "gzip;x=1", "*;q=x"]


@pytest.fixture
def site(weir):
    weir.write("x" * 1000, "html/made")
    weir.write("plain", "html/lying")
    (weir.tmp / "html/lying.gz").write_bytes(gzip.compress(b"packed"))
    return weir.start(config("root {tmp}/html; gzip_types *; location /made { gzip on; gzip_min_length 1; } location /lying { gzip_static on; }"))


@pytest.mark.parametrize("target", ["/made", "/lying"])
def test_who_gets_gzip(site, target):
    """Weights in any case of letters, several lines as one list, a refusal that stays; what is no weight takes nothing."""
    with site.connect() as client:
        for values in [*TAKEN, *REFUSED]:
            lines = values if isinstance(values, list) else [values]
            reply = client.get(target, [("Accept-Encoding", value) for value in lines])
            assert reply.status == 200
            assert (reply.header("Content-Encoding") == "gzip") == (values in TAKEN), values


FORMS = {  # what Accept asks the status for
    "json": ["application/json", "text/html;q=0, application/json;q=0.1", "text/html;Q=0.1, application/json", ["text/html;q=0.1", "application/json"],
             "text/html;q=x, application/json;q=0.1", "text/html;q=inf, application/json;q=0.2", "text/html;q=0x1, application/json;q=0.2"],
    "html": ["text/html", "application/json;q=0.1, text/html;q=0.2", ["application/json;Q=0.1", "text/html"], "text/html;seq=0",
             "text/html;level=1;q=0.5, application/json;q=0.4", "application/json;q=1.001, text/html;q=0.1"],
}


def test_weights_of_the_status(weir):
    """The same of Accept: only a weight is one, and only of the parameter q."""
    weir.start(config())
    with weir.connect() as client:
        for form, cases in FORMS.items():
            for values in cases:
                lines = values if isinstance(values, list) else [values]
                reply = client.get("/status", [("Accept", value) for value in lines])
                assert form in reply.header("Content-Type"), values
