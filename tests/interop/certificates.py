"""Certificates of a test: two authorities that know nothing of each other, and what they signed."""

import pathlib
import subprocess
import tempfile

NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
EXTENSIONS = """subjectAltName=IP:127.0.0.1
extendedKeyUsage=serverAuth,clientAuth
basicConstraints=CA:FALSE
"""


class Authority:
    """Signs certificates for 127.0.0.1, as servers and as clients."""

    def __init__(self, folder, name):
        self._folder = folder
        self.certificate = folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        files = ("-keyout", self._key, "-out", self.certificate)
        openssl("req", "-x509", *NEW_KEY, *files, "-subj", f"/CN={name}", "-days", "2")

    def sign(self, name):
        """(certificate, key)"""
        request, extensions = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        extensions.write_text(EXTENSIONS)
        openssl("req", *NEW_KEY, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        signer = ("-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial")
        openssl("x509", "-req", "-in", request, *signer, "-days", "2", "-extfile", extensions, "-out", certificate)
        return certificate, key


def openssl(*arguments):
    ran = subprocess.run(["openssl", *map(str, arguments)], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if ran.returncode != 0:
        raise AssertionError(f"openssl {arguments[0]}: {ran.stdout}")


class Certificates:
    """Settings (DYN_TCP_TLS_*) made of them. Use as a context manager."""

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="stator-certificates-")
        folder = pathlib.Path(self._folder.name)
        self.ours, self.foreign = Authority(folder, "authority"), Authority(folder, "stranger")
        self._peer, self._stranger = self.ours.sign("peer"), self.foreign.sign("foreign-peer")
        return self

    def __exit__(self, *_):
        self._folder.cleanup()

    def server(self):
        """A side that serves TLS and trusts the authority as a client: both sides of both planes need that."""
        certificate, key = self._peer
        return {
            "DYN_TCP_TLS_CERT_PATH": str(certificate),
            "DYN_TCP_TLS_KEY_PATH": str(key),
            "DYN_TCP_TLS_CA_CERT_PATH": str(self.ours.certificate),
        }

    def mutual(self, presents="peer"):
        """The same, demanding certificates of clients, and presenting one: that of a peer, a stranger's, or none."""
        settings = self.server() | {"DYN_TCP_TLS_CLIENT_CA_CERT_PATH": str(self.ours.certificate)}
        if presents == "none":
            return settings
        certificate, key = self._peer if presents == "peer" else self._stranger
        return settings | {
            "DYN_TCP_TLS_CLIENT_CERT_PATH": str(certificate),
            "DYN_TCP_TLS_CLIENT_KEY_PATH": str(key),
        }
