"""TLS, as cases speak it: the contexts of clients and backends, and what of a handshake is compared."""

import ssl
import threading

VERSIONS = {"": None, "1": ssl.TLSVersion.TLSv1, "1.1": ssl.TLSVersion.TLSv1_1, "1.2": ssl.TLSVersion.TLSv1_2,
            "1.3": ssl.TLSVersion.TLSv1_3}


def common_name(certificate):
    return dict(pair for part in certificate["subject"] for pair in part)["commonName"] if certificate else ""


def why(error):
    """An error of the library's without what differs from run to run."""
    return f"refused: {getattr(error, 'reason', None) or error}"


class Handshakes:
    """The two ends of TLS with an authority's certificates."""

    def __init__(self, authority):
        self.authority = authority
        self.asked = {}  # a backend's connection -> the name that it was asked for
        self.contexts, self.lock = {}, threading.Lock()  # those of equal words: a session is of one context

    def context(self, make, *words):
        with self.lock:
            if (make, words) not in self.contexts:
                self.contexts[make, words] = make(*words)
            return self.contexts[make, words]

    def client(self, shows, version, ciphers, protocols):
        context = self.authority.client(None, shows or None)
        context.check_hostname = False
        if version:
            context.minimum_version = context.maximum_version = VERSIONS[version]
        if ciphers:
            context.set_ciphers(ciphers)
        if protocols:
            context.set_alpn_protocols(protocols)
        return context

    def connect(self, connection, tls, sessions):
        """A connection on which the client has shaken hands; sessions: those that it has, of each context the last one."""
        context = self.context(self.client, tls.shows, tls.version, tls.ciphers, tls.protocols)
        return context.wrap_socket(connection, server_hostname=tls.name, suppress_ragged_eofs=False,
                                   session=sessions.get(context) if tls.resumes else None)

    @staticmethod
    def seen_by_client(connection):
        return {"protocol": connection.version(), "cipher": connection.cipher()[0], "resumed": connection.session_reused,
                "certificate": common_name(connection.getpeercert()), "inner protocol": connection.selected_alpn_protocol()}

    def server(self, secure):
        context = self.authority.server(secure.shows, VERSIONS[secure.version], secure.asks)
        if secure.ciphers:
            context.set_ciphers(secure.ciphers)
        context.sni_callback = lambda connection, name, _: self.asked.__setitem__(connection, name)
        return context

    def accept(self, taken, secure):
        """(a backend's connection or None, a line about the handshake)."""
        try:
            connection = self.context(self.server, secure).wrap_socket(taken, server_side=True, suppress_ragged_eofs=True)
        except (OSError, ValueError) as error:
            taken.close()
            return None, why(error)
        name = self.asked.pop(connection, None)
        return connection, (f"{connection.version()} {connection.cipher()[0]} asked for {name}, shown "
                            f"{common_name(connection.getpeercert())!r}, resumed {connection.session_reused}")
