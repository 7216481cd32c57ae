"""Certificates for tests: an authority, servers and clients of it, made once for a run by the openssl command."""

import functools
import pathlib
import ssl
import subprocess

KINDS = {"ecdsa": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"], "rsa": ["-newkey", "rsa:2048"], "rsa4096": ["-newkey", "rsa:4096"]}


def openssl(*args, text=None):
    return subprocess.run(["openssl", *map(str, args)], input=text, capture_output=True, text=True, check=True).stdout


class Authority:
    """Files of PEM in a folder: NAME.pem, NAME.key; ca.pem is the authority's own."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        openssl("req", "-x509", *KINDS["ecdsa"], "-nodes", "-keyout", self.folder / "ca.key", "-out", self.folder / "ca.pem",
                "-days", "30", "-subj", "/O=Tests/CN=authority")
        self.certificate("localhost", names=["localhost", "a.test"])

    def path(self, name):
        return self.folder / name

    def certificate(self, name, names=(), kind="ecdsa", password=None, days=30, subject=None, serial=None,
                    issuer="ca", extension=None, extra=""):
        """NAME.pem and NAME.key, for these host names; the key's file is its owner's alone. extra: lines of OpenSSL's, of more extensions."""
        key, request = self.path(f"{name}.key"), self.path(f"{name}.csr")
        protect = ["-passout", f"pass:{password}"] if password else ["-nodes"]
        openssl("req", "-utf8", *KINDS[kind], *protect, "-keyout", key, "-out", request, "-subj", subject or f"/O=Tests/CN={name}")
        extensions = self.path(f"{name}.ext")
        alternatives = ",".join(f"DNS:{each}" for each in names)
        extensions.write_text(f"{extension or (f'subjectAltName={alternatives}' if names else 'basicConstraints=CA:FALSE')}\n{extra}")
        openssl("x509", "-req", "-in", request, "-CA", self.path(f"{issuer}.pem"), "-CAkey", self.path(f"{issuer}.key"),
                *(["-set_serial", serial] if serial else ["-CAcreateserial"]), "-days", days, "-extfile", extensions,
                "-out", self.path(f"{name}.pem"))
        key.chmod(0o600)
        return self.path(f"{name}.pem")

    def revoke(self, name):
        """The list that has this certificate alone."""
        folder = self.path(f"{name}-crl")
        folder.mkdir(exist_ok=True)
        (folder / "index.txt").write_text("")
        (folder / "number").write_text("01")
        (folder / "conf").write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={folder}/index.txt\ncrlnumber={folder}/number\ndefault_md=sha256\n"
                                     f"default_crl_days=30\ncertificate={self.path('ca.pem')}\nprivate_key={self.path('ca.key')}\n")
        openssl("ca", "-config", folder / "conf", "-revoke", self.path(f"{name}.pem"))
        openssl("ca", "-config", folder / "conf", "-gencrl", "-out", folder / "crl.pem")
        return folder / "crl.pem"

    def lines(self, name="localhost"):
        """The two directives of a server that has this certificate."""
        return f"ssl_certificate {self.path(name)}.pem; ssl_certificate_key {self.path(name)}.key;"

    def client(self, version=None, certificate=None, trusts=True):
        """A client's context, which trusts the authority; version: the only one that it speaks."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.path("ca.pem"))
        if not trusts:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if version:
            context.minimum_version = context.maximum_version = version
        if certificate:
            context.load_cert_chain(self.path(f"{certificate}.pem"), self.path(f"{certificate}.key"))
        return context

    def server(self, name="localhost", version=None, clients=False):
        """A server's context; clients: they must show a certificate of the authority's."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path(f"{name}.pem"), self.path(f"{name}.key"))
        if version:
            context.minimum_version = context.maximum_version = version
        if clients:
            context.load_verify_locations(self.path("ca.pem"))
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@functools.cache
def of_folder(folder):
    return Authority(folder)
