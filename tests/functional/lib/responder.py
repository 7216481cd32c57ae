"""An OCSP responder of a test's authority: what it says is the openssl command's, when and whether it says it the test's."""

import http.server
import threading

from certificates import openssl


class Responder(http.server.ThreadingHTTPServer):
    """certificates: what it knows, by the names of their files; `revoked` are those of them that are."""

    daemon_threads = True

    def __init__(self, authority, folder, certificates=("localhost",)):
        self.authority, self.folder, self.certificates = authority, folder, certificates
        self.revoked, self.asked, self.says, self.lock = set(), [], None, threading.Lock()
        self.days = "1"
        self.go_on = threading.Event()
        self.go_on.set()
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/ocsp"
        threading.Thread(target=self.serve_forever, args=[0.05], daemon=True).start()

    def close(self):
        self.go_on.set()
        self.shutdown()
        self.server_close()

    def answer(self, question):
        ca, key = self.authority.path("ca.pem"), self.authority.path("ca.key")
        index, asked, answer = (self.folder / name for name in ("index", "question", "answer"))
        lines = []
        for name in self.certificates:
            serial = openssl("x509", "-in", self.authority.path(f"{name}.pem"), "-noout", "-serial").strip().partition("=")[2]
            state, since = ("R", "200101000000Z") if name in self.revoked else ("V", "")
            lines.append(f"{state}\t400101000000Z\t{since}\t{serial}\tunknown\t/CN={name}\n")
        index.write_text("".join(lines))
        asked.write_bytes(question)
        openssl("ocsp", "-index", index, "-CA", ca, "-rsigner", ca, "-rkey", key, "-reqin", asked, "-respout", answer, "-ndays", self.days)
        return answer.read_bytes()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        question = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, self.headers["Host"], self.headers["Content-Type"]))
        self.server.go_on.wait(30)
        with self.server.lock:
            answer = self.server.says if self.server.says is not None else self.server.answer(question)
        self.send_response(200)
        self.send_header("Content-Type", "application/ocsp-response")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        """Nothing: the tests look at `asked`."""
