"""What the stubs share: an HTTP server with a log, a way for tests to say what there is, and JSON web tokens.

They are test doubles, because neither these services nor an emulator of them can be run here. They were written from the
services' REST documentation; the clients that ask them are the real ones. What a stub does not do is unknown to the tests.
An error of theirs repeats what was sent, as the real services' do, so that a test sees where such text ends up.

Below /stub/ lies what tests alone use. GET log gives every request with its status and what the stub noted of it. POST NAME
calls the stub's set_NAME with the JSON body; `clock` and `key` every stub has.
"""

import base64
import datetime
import json
import ssl
import sys
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.x509.oid import NameOID


class Answer(Exception):
    """An answer that ends a request early. A body of None is an empty one."""

    def __init__(self, status, body, headers=None):
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers or {}


class Refused(Exception):
    """Why a token is not accepted."""


class Request:
    """A request. What is noted of it is shown by the log."""

    def __init__(self, handler):
        url = urlsplit(handler.path)
        self.method, self.path = handler.command, url.path
        self.query = dict(parse_qsl(url.query, keep_blank_values=True))
        self.headers = handler.headers
        self.body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        self.notes = {}

    def note(self, **notes):
        self.notes.update(notes)

    def json(self):
        return json.loads(self.body or b"{}")

    def form(self):
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    def bearer(self):
        kind, _, token = (self.headers.get("authorization") or "").partition(" ")
        return token if kind.lower() == "bearer" else ""


class Stub:
    """The base of each: it adds `route(request)`, which gives the body of a 200 or raises an Answer."""

    def __init__(self):
        self.lock, self.log, self.offset = threading.Lock(), [], 0

    def now(self):
        return int(time.time()) + self.offset

    def set_clock(self, body):
        """From now on the stub's time is off by so many seconds."""
        self.offset = body["seconds"]

    def set_key(self, body):
        """A new RSA key with a certificate by itself, for a test to give out; the stub forgets it."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, body.get("name", "stub"))])
        now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
        made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
        made = made.sign(key, hashes.SHA256())
        pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        public = serialization.PublicFormat.SubjectPublicKeyInfo
        return {
            "private": key.private_bytes(pem, form, serialization.NoEncryption()).decode(),
            "public": key.public_key().public_bytes(pem, public).decode(),
            "certificate": made.public_bytes(pem).decode(),
            "thumbprint": base64.urlsafe_b64encode(made.fingerprint(hashes.SHA256())).decode().rstrip("="),
        }

    def set_plain(self, _):
        """Answers on one more port, in the clear: a machine's own services have no TLS. Gives the port."""
        server = Server(("127.0.0.1", 0), handler(self, None))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return {"port": server.server_port}

    def handle(self, request):
        """Status, body and headers of the answer."""
        with self.lock:
            if request.path == "/stub/log":
                return 200, self.log, {}
            try:
                if request.path.startswith("/stub/"):
                    function = getattr(self, "set_" + request.path.removeprefix("/stub/"))
                    return 200, function(request.json()) or {}, {}
                answer = 200, self.route(request), {}
            except Answer as early:
                answer = early.status, early.body, early.headers
            except Exception:  # What the stub was not written for shows in its log and in the test's.
                traceback.print_exc()
                answer = 500, "the stub failed; see its log", {}
            line = {"method": request.method, "path": request.path, "query": request.query, "status": answer[0]}
            self.log.append({**line, "note": request.notes})
            return answer


def arguments():
    """The command line: PORT [CERT KEY]."""
    return int(sys.argv[1]), *sys.argv[2:4]


def serve(stub, port, certificate=None, key=None):
    """Answers on this port of loopback until killed, by TLS if there is a certificate."""
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
    Server(("127.0.0.1", port), handler(stub, context)).serve_forever()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        # A client that breaks off is no failure of the stub.
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def handler(stub, context):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self):
            # The handshake belongs to the connection's own thread: a client that says nothing must stop nobody.
            if context:
                self.request.settimeout(10)
                self.request = context.wrap_socket(self.request, server_side=True)
                self.request.settimeout(None)
            super().setup()

        def finish(self):
            super().finish()
            self.request.close()

        def date_time_string(self, timestamp=None):
            return super().date_time_string(stub.now() if timestamp is None else timestamp)

        def answer(self):
            status, body, headers = stub.handle(Request(self))
            headers = {"content-type": "application/json; charset=utf-8", **headers}
            data = b"" if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    return Handler


# --- JSON web tokens -------------------------------------------------------------------------


def b64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def jwt(token):
    """Header, claims, what is signed, and the signature, whoever made them."""
    try:
        head, claims, signature = token.split(".")
        return json.loads(b64url(head)), json.loads(b64url(claims)), f"{head}.{claims}".encode(), b64url(signature)
    except ValueError as error:
        raise Refused("no JWT") from error


def verify(token, key):
    """Header and claims, if the token was signed by this public key (RS256, PS256 or ES256)."""
    header, claims, signed, signature = jwt(token)
    key = serialization.load_pem_public_key(key.encode())
    try:
        if header.get("alg") == "RS256" and isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        elif header.get("alg") == "PS256" and isinstance(key, rsa.RSAPublicKey):
            pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
            key.verify(signature, signed, pss, hashes.SHA256())
        elif header.get("alg") == "ES256" and isinstance(key, ec.EllipticCurvePublicKey):
            numbers = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
            key.verify(utils.encode_dss_signature(*numbers), signed, ec.ECDSA(hashes.SHA256()))
        else:
            raise Refused("another algorithm")
    except (InvalidSignature, ValueError) as error:
        raise Refused("the signature does not fit") from error
    return header, claims


def audiences(claims):
    audience = claims.get("aud", [])
    return [audience] if isinstance(audience, str) else audience
