"""Ask a running enclave, and believe its answer only after its evidence and its receipt.

What it does: steps 1 to 6 of "A live enclave" in "verify it yourself" (TLS 1.3, exporter, evidence, appraisal
by `verifier.py`), then one streamed chat request on the same connection, its commitments and its receipt; at
the end it writes the bundle, if asked, and verifies it again from the file. Exit code 0: everything holds.
1: something does not, and the last line of standard error has its code.

What it does not do: it verifies no name and no date of the TLS certificate (the evidence stands for them),
reads no signed reference values, and does not look for a newer version of anything.

What it trusts: the reference values and the root that it is given, the clock of this machine, pyOpenSSL for
TLS (CertificateVerify and exporter), h2 for HTTP/2, and what `verifier.py` trusts.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import socket
import struct
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from OpenSSL import SSL, crypto

import verifier
from certificates import Der
from reference import parse_policy_text
from strict import Reject, base64url, load_json, require, sha256, sha384, unbase64url

LABEL = b"EXPORTER-adyton-attestation-v1"
HYBRID = "X25519MLKEM768"
SUITES = b"TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
MAX_TLS_CERTIFICATE = 4096
MAX_EVIDENCE_ANSWER = 2 * 1024 * 1024
MAX_CHAT_ANSWER = 64 * 1024 * 1024
MAX_ENDORSEMENT = 4096
MAX_AGE_MS = 120_000
TIMEOUT_SECONDS = 120


class LiveError(Exception):
    """The conversation failed; the code is this program's own, or the enclave's error code."""

    def __init__(self, code: str, about: str = "") -> None:
        super().__init__(f"{code}: {about}" if about else code)
        self.code = code


def say(text: str) -> None:
    print(text, flush=True)


# ---------------------------------------------------------------- TLS


def open_socket(address: str) -> socket.socket:
    if address.startswith("unix:"):
        result = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        result.connect(address[len("unix:"):])
    else:
        host, _, port = address.rpartition(":")
        result = socket.create_connection((host.strip("[]"), int(port)))
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        result.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", TIMEOUT_SECONDS, 0))
    return result


def tls_context() -> SSL.Context:
    """TLS 1.3 alone, no certificate store: whoever answers is unproven until the evidence is appraised."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_max_proto_version(SSL.TLS1_3_VERSION)
    context.set_tls13_ciphersuites(SUITES)
    context.set_alpn_protos([b"h2"])
    context.set_options(SSL.OP_NO_TICKET)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_verify(SSL.VERIFY_NONE)
    set_group(context)
    return context


def set_group(context: SSL.Context) -> None:
    """Offer the hybrid group alone; where OpenSSL has none, x25519. pyOpenSSL has no public call for this."""
    for group in (HYBRID, "x25519"):
        if SSL._lib.SSL_CTX_set1_curves_list(context._context, group.encode()) == 1:
            break
        SSL._lib.ERR_clear_error()
        say(f"    this OpenSSL does not know {group}")
    else:
        raise LiveError("tls-groups", "neither group can be set")
    if group != HYBRID:
        say("    offering x25519: not safe against one who records today and has a quantum computer later")


def spki_of(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a certificate with any key, as DER."""
    outer = Der(certificate)
    body = Der(outer.value(0x30))
    outer.end()
    fields = Der(body.value(0x30))
    if fields.peek() == 0xA0:
        fields.value(0xA0)
    fields.value(0x02)
    for _ in ("signature", "issuer", "validity", "subject"):
        fields.value(0x30)
    return fields.raw(0x30)


def connect(address: str) -> tuple[SSL.Connection, bytes]:
    """Steps 1 and 2: a connection, and the SubjectPublicKeyInfo that its CertificateVerify was under."""
    connection = SSL.Connection(tls_context(), open_socket(address))
    connection.set_connect_state()
    connection.do_handshake()
    if connection.get_protocol_version_name() != "TLSv1.3":
        raise LiveError("tls-version", connection.get_protocol_version_name())
    if connection.get_alpn_proto_negotiated() != b"h2":
        raise LiveError("tls-alpn", repr(connection.get_alpn_proto_negotiated()))
    chain = connection.get_peer_cert_chain() or []
    if len(chain) != 1:
        raise LiveError("tls-certificate", f"a chain of {len(chain)}")
    certificate = crypto.dump_certificate(crypto.FILETYPE_ASN1, chain[0])
    if len(certificate) > MAX_TLS_CERTIFICATE:
        raise LiveError("tls-certificate", f"{len(certificate)} bytes")
    say(f"1   connected: TLS 1.3, {connection.get_cipher_name()}, group {group_of(connection)}, ALPN h2")
    spki = spki_of(certificate)
    say(f"2   CertificateVerify holds; SHA-384 of the key {sha384(spki).hex()}")
    return connection, spki


def group_of(connection: SSL.Connection) -> str:
    name = getattr(connection, "get_group_name", lambda: None)()
    return name or "unknown"


# ---------------------------------------------------------------- HTTP/2


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    trailers: dict[str, str] = field(default_factory=dict)
    ended: bool = False


class Http2:
    """One request at a time on one connection."""

    def __init__(self, tls: SSL.Connection) -> None:
        self.tls = tls
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config=config)
        self.h2.initiate_connection()
        self.h2.update_settings({h2.settings.SettingCodes.ENABLE_PUSH: 0})
        self._flush()

    def post(self, path: str, body: bytes, limit: int, extra: list[tuple[str, str]]) -> Answer:
        stream = self.h2.get_next_available_stream_id()
        headers = [(":method", "POST"), (":scheme", "https"), (":authority", "enclave"), (":path", path),
                   ("content-type", "application/json"), ("content-length", str(len(body)))]
        self.h2.send_headers(stream, headers + extra)
        answer = Answer()
        self._send_body(stream, body, answer, limit)
        while not answer.ended:
            self._receive(stream, answer, limit)
        return answer

    def close(self) -> None:
        try:
            self.h2.close_connection()
            self._flush()
            self.tls.shutdown()
        except (SSL.Error, OSError, h2.exceptions.H2Error):
            pass
        self.tls.close()

    def _send_body(self, stream: int, body: bytes, answer: Answer, limit: int) -> None:
        sent = 0
        while sent < len(body):
            window = self.h2.local_flow_control_window(stream)
            size = min(window, self.h2.max_outbound_frame_size, len(body) - sent)
            if size > 0:
                sent += size
                self.h2.send_data(stream, body[sent - size:sent], end_stream=sent == len(body))
                self._flush()
            else:
                self._receive(stream, answer, limit)
                if answer.ended:
                    return

    def _flush(self) -> None:
        data = self.h2.data_to_send()
        if data:
            self.tls.sendall(data)

    def _receive(self, stream: int, answer: Answer, limit: int) -> None:
        try:
            data = self.tls.recv(65536)
        except (SSL.ZeroReturnError, SSL.SysCallError):
            raise LiveError("connection-lost", "it ended before the answer did") from None
        except SSL.WantReadError:
            raise LiveError("timeout", f"nothing came for {TIMEOUT_SECONDS} s") from None
        for event in self.h2.receive_data(data):
            self._on_event(event, stream, answer, limit)
        self._flush()

    def _on_event(self, event: Any, stream: int, answer: Answer, limit: int) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            raise LiveError("connection-lost", f"GOAWAY {event.error_code}")
        if getattr(event, "stream_id", stream) != stream:
            return
        if isinstance(event, h2.events.ResponseReceived):
            answer.headers = single_headers(event.headers)
            answer.status = int(answer.headers[":status"])
        elif isinstance(event, h2.events.DataReceived):
            answer.body += event.data
            if len(answer.body) > limit:
                raise LiveError("answer-too-large", f"more than {limit} bytes")
            self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
        elif isinstance(event, h2.events.TrailersReceived):
            answer.trailers = single_headers(event.headers)
        elif isinstance(event, h2.events.StreamReset):
            raise LiveError("stream-reset", f"error {event.error_code}")
        elif isinstance(event, h2.events.StreamEnded):
            answer.ended = True


def single_headers(headers: list[tuple[str, str]]) -> dict[str, str]:
    """Headers as a map; one of Adyton's that stands there twice is refused."""
    result: dict[str, str] = {}
    for name, value in headers:
        if name in result and name.startswith(("adyton-", ":")):
            raise LiveError("header-twice", name)
        result[name] = value
    return result


def require_success(answer: Answer) -> None:
    if answer.status == 200:
        return
    try:
        code = load_json(bytes(answer.body))["error"]["code"]
    except (ValueError, KeyError, TypeError):
        code = "http-status"
    raise LiveError(str(code), f"status {answer.status}")


# ---------------------------------------------------------------- evidence


@dataclass
class Session:
    nonce: bytes
    exporter: bytes
    spki_sha384: bytes
    document_bytes: bytes
    manifest: bytes
    document: verifier.Document


def ask_for_evidence(http: Http2, nonce: bytes) -> tuple[bytes, bytes]:
    """Step 4: document and manifest."""
    body = json.dumps({"nonce": base64url(nonce)}).encode()
    answer = http.post("/adyton/v1/evidence", body, MAX_EVIDENCE_ANSWER, [])
    require_success(answer)
    try:
        value = load_json(bytes(answer.body))
        document, manifest = unbase64url(value["document"]), unbase64url(value["manifest"])
        good = len(unbase64url(value["challenge"])) == 32
    except (ValueError, KeyError, TypeError):
        good = False
    if not good:
        raise LiveError("evidence-unreadable", "the answer is not the JSON that is documented")
    say(f"4   evidence: a document of {len(document)} bytes, a manifest of {len(manifest)}")
    return document, manifest


def attest(tls: SSL.Connection, http: Http2, spki: bytes, trust: verifier.Expected) -> Session:
    """Steps 3 to 6."""
    nonce = os.urandom(32)
    exporter = tls.export_keying_material(LABEL, 48, nonce)
    say(f"3   nonce {nonce.hex()}")
    say(f"    exporter {exporter.hex()}")
    document_bytes, manifest = ask_for_evidence(http, nonce)
    parts = {"role": "enclave", "exporter": exporter, "spki_sha384": sha384(spki),
             "manifest_sha384": sha384(manifest)}
    say(f"5   user_data must be {verifier.session_user_data(parts)[0].hex()}")
    say(f"    PCR16 must be {verifier.pcr16_for(parts['manifest_sha384']).hex()}")
    expected = verifier.Expected(root=trust.root, now_ms=int(time.time() * 1000), max_age_ms=MAX_AGE_MS,
                                 nonce=nonce, session=parts, policy=trust.policy,
                                 endorsement=trust.endorsement)
    document = verifier.appraise(document_bytes, expected)
    simulated = ", of a simulation, which protects nothing" if verifier.is_simulation(trust.root) else ""
    say(f"6   accepted: all eighteen steps hold, PCR0 {document.pcrs[0].hex()}{simulated}")
    return Session(nonce, exporter, parts["spki_sha384"], document_bytes, manifest, document)


# ---------------------------------------------------------------- the answer


def split_chunks(answer: Answer) -> list[bytes]:
    """Events up to and including their empty line; of an answer that is not streamed, the whole body.

    Bytes after the last empty line are no event. They are kept as a chunk of their own, so that the
    commitments cannot hold with them left out.
    """
    body = bytes(answer.body)
    if not answer.headers.get("content-type", "").startswith("text/event-stream"):
        return [body]
    pieces = body.split(b"\n\n")
    return [piece + b"\n\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])


def text_of(chunks: list[bytes]) -> str:
    """What the model wrote, for the reader; no check depends on it."""
    parts: list[str] = []
    for chunk in chunks:
        data = chunk.removeprefix(b"data: ").strip()
        if data == b"[DONE]":
            continue
        try:
            for choice in load_json(data).get("choices", []):
                parts.append(choice.get("delta", {}).get("content") or "")
        except (ValueError, AttributeError, TypeError):
            parts.append("<an event that cannot be read>")
    return "".join(parts)


def chat(http: Http2, session: Session, options: argparse.Namespace, root: bytes | None) -> dict[str, Any]:
    """One streamed answer and its receipt. Returns the bundle without the endorsement."""
    token = Path(options.token_file).read_text(encoding="ascii").strip()
    request = json.dumps({"model": options.model, "stream": True, "max_tokens": options.max_tokens,
                          "messages": [{"role": "user", "content": options.prompt}]}).encode()
    authorization = [("authorization", f"Bearer {token}")]
    answer = http.post("/v1/chat/completions", request, MAX_CHAT_ANSWER, authorization)
    require_success(answer)
    chunks = split_chunks(answer)
    say(f"7   answer: {len(chunks)} chunks, {len(answer.body)} bytes, not yet shown to be whole")
    try:
        salt = unbase64url(answer.headers["adyton-salt"])
        receipt_bytes = unbase64url(answer.trailers["adyton-receipt"])
    except (KeyError, ValueError):
        raise LiveError("receipt-absent", "no adyton-salt or no adyton-receipt that can be read") from None
    if len(salt) != 32:
        raise LiveError("salt-length", f"{len(salt)} bytes")
    say(f"8   request commitment {verifier.request_commitment(salt, request).hex()}")
    say(f"    response commitment {verifier.response_commitment(salt, chunks).hex()}")
    receipt = verifier.check_answer(receipt_bytes, session.document, session.manifest, salt, request, chunks,
                                    verifier.is_simulation(root))
    say(f"9   the receipt holds: boot {receipt.boot.hex()}, sequence {receipt.sequence}, "
        f"verdicts {receipt.verdicts}")
    say("    answer: " + repr(text_of(chunks)))
    fields = {"receipt": receipt_bytes, "document": session.document_bytes, "manifest": session.manifest,
              "salt": salt, "nonce": session.nonce, "exporter": session.exporter,
              "spki_sha384": session.spki_sha384, "request": request}
    bundle: dict[str, Any] = {name: base64.b64encode(value).decode() for name, value in fields.items()}
    bundle["response"] = [base64.b64encode(chunk).decode() for chunk in chunks]
    return bundle


def keep(bundle: dict[str, Any], path: str, trust: verifier.Expected) -> None:
    """Write the bundle, for its owner only, and verify what was written."""
    if trust.endorsement is not None:
        bundle["endorsement"] = trust.endorsement
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        json.dump(bundle, file, indent=1)
        file.write("\n")
    verifier.check_bundle(load_json(Path(path).read_bytes()), trust.root, trust.policy)
    say(f"10  bundle written to {path}, and it verifies offline; it holds prompt and answer in the clear")


# ---------------------------------------------------------------- the command


def read_endorsement(path: str) -> Any:
    data = Path(path).read_bytes()
    require(len(data) <= MAX_ENDORSEMENT, "endorsement-unreadable")
    try:
        return load_json(data)
    except ValueError:
        raise Reject("endorsement-unreadable") from None


def read_trust(options: argparse.Namespace) -> verifier.Expected:
    """Reference values, root and endorsement. All that is believed beforehand."""
    root = None if options.root is None else Path(options.root).read_bytes()
    policy = parse_policy_text(Path(options.reference).read_bytes())
    endorsement = None if options.endorsement is None else read_endorsement(options.endorsement)
    say("0   root " + ("of AWS" if root is None else f"with SHA-256 {sha256(root).hex()}") +
        f", {len(policy.images)} image(s), {len(policy.manifests)} manifest(s), owner: {policy.owner}")
    return verifier.Expected(root=root, policy=policy, endorsement=endorsement)


def run(options: argparse.Namespace) -> None:
    trust = read_trust(options)
    tls, spki = connect(options.enclave)
    http = Http2(tls)
    try:
        session = attest(tls, http, spki, trust)
        bundle = chat(http, session, options, trust.root)
    finally:
        http.close()
    if options.bundle is not None:
        keep(bundle, options.bundle, trust)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Ask an enclave; end with 0 only if everything holds.")
    parser.add_argument("--enclave", required=True, metavar="HOST:PORT or unix:PATH")
    parser.add_argument("--reference", required=True, help="unsigned reference values, JSON")
    parser.add_argument("--root", help="DER; AWS's root if absent")
    parser.add_argument("--token-file", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--endorsement", help="JSON, if the reference values name an endorser")
    parser.add_argument("--bundle", help="where to write the bundle")
    options = parser.parse_args(arguments)
    try:
        run(options)
    except (Reject, LiveError) as refusal:
        print(f"refused: {refusal.code} ({refusal})", file=sys.stderr)
        return 1
    except (SSL.Error, OSError, h2.exceptions.H2Error) as error:
        print(f"refused: connection ({type(error).__name__}: {error})", file=sys.stderr)
        return 1
    except Exception as error:
        traceback.print_exc()
        print(f"refused: internal ({type(error).__name__})", file=sys.stderr)
        return 1
    say("everything holds")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
