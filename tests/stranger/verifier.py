"""Verify AWS Nitro attestation documents and Adyton receipts.

What it does: it reads one case (JSON) of the corpus formats `adyton/corpus/v1` or
`adyton/receipt-corpus/v1` and answers `{"verdict": "accept"}` or `{"verdict": "reject", "code": ".."}`.
The steps and their order are those of "verify it yourself"; the codes are those of "corpus".
As a module: `appraise`, `check_bundle`, `check_answer`, `parse_policy`.

What it does not do: it makes no connection, reads no signed reference values, looks at no revocation
list, and does not judge whether the measured program is a good one.

What it trusts: the root that the case gives (or the SHA-256 of AWS's root), the clock of the case, and the
package `cryptography` for ECDSA P-384, Ed25519 and nothing else. CBOR and DER are read here.

A rejection is always the exception `Reject`. Any other exception is a fault of this program or of the case,
never a rejection: the command then ends with 1.
"""

from __future__ import annotations

import json
import sys
import traceback
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from certificates import Certificate, check_place, parse_certificate
from reference import ZERO_REGISTER, Policy, parse_policy
from strict import (CborError, CborReader, Reject, cbor_encode, ecdsa_p384_holds, ed25519_holds, is_hex,
                    is_uint, load_json, lp, parse_sign1, reject, require, sha256, sha384, sig_structure,
                    unbase64)

AWS_ROOT_SHA256 = bytes.fromhex("641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b")
LEEWAY_MS = 60_000
DEFAULT_MAX_AGE_MS = 120_000
MAX_DOCUMENT = 16_384
MAX_RECEIPT = 12_288
MAX_ENDORSEMENT_LIFE_MS = 366 * 86_400_000
OWNER_REGISTERS = {"signer": 8, "role": 3, "instance": 4}
ED25519_SPKI_PREFIX = bytes.fromhex("302a300506032b6570032100")


class CaseError(Exception):
    """The case itself is not as the contract says. Not a rejection."""


# ---------------------------------------------------------------- the document's fields


@dataclass
class Document:
    timestamp: int
    pcrs: dict[int, bytes]
    certificate: bytes
    cabundle: list[bytes]
    public_key: bytes | None
    user_data: bytes | None
    nonce: bytes | None


DOCUMENT_KEYS = ("module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle",
                 "public_key", "user_data", "nonce")


def parse_document(payload: bytes) -> Document:
    """Steps 3 and 4."""
    try:
        fields = CborReader(payload, indefinite_top=True).read_all()
    except CborError as error:
        reject("payload-" + error.kind)
    require(isinstance(fields, dict), "payload-not-a-map")
    require(all(key in fields for key in DOCUMENT_KEYS), "field-missing")
    require(all(key in DOCUMENT_KEYS for key in fields), "field-unknown")
    _typed(fields["module_id"], str)
    require(1 <= len(fields["module_id"].encode()) <= 128, "field-module-id")
    _typed(fields["digest"], str)
    require(fields["digest"] == "SHA384", "field-digest")
    require(is_uint(fields["timestamp"]), "field-wrong-type")
    require(fields["timestamp"] > 0, "field-timestamp")
    _check_pcrs(fields["pcrs"])
    _check_certificate_bytes(fields["certificate"])
    _typed(fields["cabundle"], list)
    require(1 <= len(fields["cabundle"]) <= 8, "field-cabundle-count")
    for entry in fields["cabundle"]:
        _check_certificate_bytes(entry)
    for name in ("public_key", "user_data", "nonce"):
        if fields[name] is not None:
            _typed(fields[name], bytes)
            require(len(fields[name]) <= 1024, "field-optional-length")
    return Document(*(fields[key] for key in DOCUMENT_KEYS[2:]))


def _typed(value: Any, kind: type) -> None:
    require(isinstance(value, kind), "field-wrong-type")


def _check_pcrs(pcrs: Any) -> None:
    _typed(pcrs, dict)
    require(1 <= len(pcrs) <= 32, "field-pcr-count")
    for index, value in pcrs.items():
        _typed(index, int)
        require(index <= 31, "field-pcr-index")
        _typed(value, bytes)
        require(len(value) == 48, "field-pcr-length")


def _check_certificate_bytes(value: Any) -> None:
    _typed(value, bytes)
    require(1 <= len(value) <= 1024, "field-certificate-length")


# ---------------------------------------------------------------- appraisal: the eighteen steps


@dataclass
class Expected:
    """What the verifier has from its own end. None: not given, so not checked."""

    root: bytes | None = None           # None: AWS's, by its SHA-256
    now_ms: int | None = None           # None: the document's own time, and step 11 is left out
    max_age_ms: int = DEFAULT_MAX_AGE_MS
    nonce: bytes | None = None
    session: dict[str, Any] | None = None
    policy: Policy | None = None
    endorsement: Any = None


def user_data_for(role: str, exporter: bytes, spki_sha384: bytes, manifest_sha384: bytes) -> bytes:
    parts = (b"adyton/session/v1", role.encode(), exporter, spki_sha384, manifest_sha384)
    return sha384(b"".join(lp(part) for part in parts))


def pcr16_for(manifest_sha384: bytes) -> bytes:
    return sha384(ZERO_REGISTER + manifest_sha384)


def appraise(data: bytes, expected: Expected) -> Document:
    """Steps 1 to 18. Returns the document that was accepted, raises Reject otherwise."""
    require(len(data) <= MAX_DOCUMENT, "document-too-large")
    payload, signature = parse_sign1(data, b"\xa1\x01\x38\x22", 96, "envelope-")
    document = parse_document(payload)
    chain = check_chain(document, expected)
    now_ms = document.timestamp if expected.now_ms is None else expected.now_ms
    check_validity(chain, document, now_ms, expected.nonce)
    r, s = int.from_bytes(signature[:48], "big"), int.from_bytes(signature[48:], "big")
    signed = sig_structure(b"\xa1\x01\x38\x22", payload)
    leaf = chain[-1]
    require(ecdsa_p384_holds(leaf.point, encode_dss_signature(r, s), signed), "document-signature")
    within = leaf.not_before * 1000 <= document.timestamp <= leaf.not_after * 1000 + 999
    require(within, "timestamp-outside-leaf")
    if expected.now_ms is not None:
        require(document.timestamp <= now_ms + LEEWAY_MS, "document-from-the-future")
        require(now_ms - document.timestamp <= expected.max_age_ms, "document-stale")
    check_measurements(document, expected, now_ms)
    check_session(document, expected)
    return document


def check_chain(document: Document, expected: Expected) -> list[Certificate]:
    """Steps 5 to 7."""
    root = document.cabundle[0]
    pinned = sha256(root) == AWS_ROOT_SHA256 if expected.root is None else root == expected.root
    require(pinned, "root-not-pinned")
    encoded = document.cabundle + [document.certificate]
    chain: list[Certificate] = []
    for place, data in enumerate(encoded):
        certificate = parse_certificate(data)
        leaf = place == len(encoded) - 1
        below = len(document.cabundle) - 1 - place
        check_place(certificate, chain[-1] if chain else None, below, leaf)
        chain.append(certificate)
    for parent, child in zip(chain, chain[1:]):
        require(ecdsa_p384_holds(parent.point, child.signature, child.tbs), "certificate-signature")
    return chain


def check_validity(chain: list[Certificate], document: Document, now_ms: int, nonce: bytes | None) -> None:
    """Step 8."""
    for certificate in chain:
        require(certificate.not_before * 1000 <= now_ms + LEEWAY_MS, "certificate-not-yet-valid")
        if now_ms - LEEWAY_MS > certificate.not_after * 1000 + 999:
            ours = nonce is not None and document.nonce == nonce
            reject("clock-ahead" if ours else "certificate-expired")


def check_measurements(document: Document, expected: Expected, now_ms: int) -> None:
    """Steps 12 to 15."""
    pcrs, policy = document.pcrs, expected.policy
    require(all(index in pcrs for index in (0, 1, 2)), "image-register-missing")
    image = (pcrs[0], pcrs[1], pcrs[2])
    require(ZERO_REGISTER not in image, "debug-mode")
    if policy is not None:
        require(image in policy.images, "image-not-accepted")
        check_owner(document, policy, expected.endorsement, now_ms)
    manifest = (expected.session or {}).get("manifest_sha384")
    if policy is None and manifest is None:
        return
    register = pcrs.get(16, ZERO_REGISTER)
    require(register != ZERO_REGISTER, "manifest-register-missing")
    if policy is not None:
        require(register in policy.manifests, "manifest-not-accepted")
    if manifest is not None:
        require(register == pcr16_for(manifest), "manifest-not-bound")


def check_owner(document: Document, policy: Policy, endorsement: Any, now_ms: int) -> None:
    """Step 14."""
    if policy.owner in OWNER_REGISTERS:
        register = document.pcrs.get(OWNER_REGISTERS[policy.owner], ZERO_REGISTER)
        require(register != ZERO_REGISTER, "owner-register-missing")
        require(register == policy.owner_value, "owner-not-accepted")
    elif policy.owner == "endorser":
        check_endorsement(endorsement, policy.owner_value, document.public_key, now_ms)


def check_endorsement(value: Any, endorser: bytes | None, public_key: bytes | None, now_ms: int) -> None:
    require(value is not None, "endorsement-missing")
    keys = {"endorser": 64, "receipt_key": 64, "signature": 128}
    times = ("not_before_ms", "not_after_ms")
    readable = isinstance(value, dict) and not getattr(value, "twice", False)
    require(readable and set(value) == {*keys, *times}, "endorsement-unreadable")
    for name, digits in keys.items():
        good = isinstance(value[name], str) and len(value[name]) == digits and is_hex(value[name])
        require(good, "endorsement-unreadable")
    require(all(is_uint(value[name]) for name in times), "endorsement-unreadable")
    begin, end = (value[name] for name in times)
    receipt_key = ED25519_SPKI_PREFIX + bytes.fromhex(value["receipt_key"])
    require(bytes.fromhex(value["endorser"]) == endorser, "endorsement-endorser")
    require(receipt_key == public_key, "endorsement-key")
    life = begin.to_bytes(8, "big") + end.to_bytes(8, "big")
    signed = lp(b"adyton/endorsement/v1") + lp(receipt_key) + life
    holds = ed25519_holds(endorser or b"", bytes.fromhex(value["signature"]), signed)
    require(holds, "endorsement-signature")
    require(0 < end - begin <= MAX_ENDORSEMENT_LIFE_MS, "endorsement-life")
    require(begin <= now_ms + LEEWAY_MS, "endorsement-not-yet-valid")
    require(now_ms - LEEWAY_MS <= end, "endorsement-expired")


def check_session(document: Document, expected: Expected) -> None:
    """Steps 16 to 18."""
    if expected.nonce is not None:
        require(document.nonce is not None, "nonce-missing")
        require(len(document.nonce or b"") == 32, "nonce-length")
        require(document.nonce == expected.nonce, "nonce-mismatch")
    if expected.session is None:
        return
    ours, reflected = session_user_data(expected.session)
    require(document.user_data is not None, "binding-missing")
    require(reflected is None or document.user_data != reflected, "binding-reflected")
    require(document.user_data == ours, "binding-mismatch")
    key = document.public_key
    require(key is not None, "receipt-key-missing")
    require(len(key or b"") == 44 and (key or b"").startswith(ED25519_SPKI_PREFIX), "receipt-key-invalid")


def session_user_data(session: dict[str, Any]) -> tuple[bytes, bytes | None]:
    """The user data that is expected, and that of the other role of the same connection."""
    names = ("exporter", "spki_sha384", "manifest_sha384")
    if "role" not in session or any(name not in session for name in names):
        return session["user_data"], None
    parts = [session[name] for name in names]
    other = {"enclave": "peer-enclave", "peer-enclave": "enclave"}[session["role"]]
    ours = user_data_for(session["role"], *parts)
    if session.get("user_data", ours) != ours:
        raise CaseError("user_data of the session does not follow from its parts")
    return ours, user_data_for(other, *parts)


# ---------------------------------------------------------------- receipts


@dataclass
class Receipt:
    domain: str
    boot: bytes
    sequence: int
    issued_at: int
    request: bytes
    response: bytes
    chunks: int
    response_bytes: int
    weights: bytes
    manifest: bytes
    policy: bytes
    principal: bytes
    verdicts: list[list[str]]
    status: int
    simulated: bool
    index: int | None = None
    root: bytes | None = None


RECEIPT_DOMAINS = {15: "adyton/receipt/v1", 17: "adyton/receipt/v2"}
RECEIPT_BYTES = {1: 16, 4: 32, 5: 32, 8: 32, 9: 48, 10: 32, 11: 32}
RECEIPT_NUMBERS = (2, 3, 6, 7, 13)


def parse_receipt(data: bytes, public_key: bytes) -> Receipt:
    """The envelope, the signature, then the payload."""
    require(len(data) <= MAX_RECEIPT, "receipt-too-large")
    payload, signature = parse_sign1(data, b"\xa1\x01\x27", 64, "receipt-envelope-")
    signed = sig_structure(b"\xa1\x01\x27", payload)
    holds = ed25519_holds(public_key[len(ED25519_SPKI_PREFIX):], signature, signed)
    require(holds, "receipt-signature")
    try:
        fields = CborReader(payload, indefinite_top=False).read_all()
    except CborError as error:
        reject(_receipt_cbor_code(error.kind))
    require(isinstance(fields, dict), "receipt-field-wrong-type")
    _check_receipt_fields(fields)
    require(cbor_encode(fields) == payload, "receipt-not-deterministic")
    require(fields[0] == RECEIPT_DOMAINS[len(fields)], "receipt-domain")
    require(fields[13] in (0, 1), "receipt-status")
    return Receipt(*(fields[key] for key in range(len(fields))))


def _receipt_cbor_code(kind: str) -> str:
    if kind in ("truncated", "trailing-bytes", "not-shortest", "indefinite-length", "tag"):
        return "receipt-payload-" + kind
    return "receipt-field-duplicate" if kind == "duplicate-key" else "receipt-payload-malformed"


def _check_receipt_fields(fields: dict[Any, Any]) -> None:
    wrong = "receipt-field-wrong-type"
    newer = fields.get(0) == RECEIPT_DOMAINS[17] and 15 in fields
    require(all(key in range(17 if newer else 15) for key in fields), "receipt-field-unknown")
    require(len(fields) == (17 if newer else 15), "receipt-field-missing")
    require(isinstance(fields[0], str), wrong)
    for key, length in RECEIPT_BYTES.items():
        require(isinstance(fields[key], bytes) and len(fields[key]) == length, wrong)
    require(all(is_uint(fields[key]) for key in RECEIPT_NUMBERS), wrong)
    require(isinstance(fields[14], bool) and isinstance(fields[12], list), wrong)
    if newer:
        require(is_uint(fields[15]) and isinstance(fields[16], bytes) and len(fields[16]) == 32, wrong)
    require(len(fields[12]) <= 64, "receipt-limits")
    for verdict in fields[12]:
        require(isinstance(verdict, list) and len(verdict) == 2, wrong)
        for word in verdict:
            require(isinstance(word, str), wrong)
            require(len(word.encode()) <= 64, "receipt-limits")


def request_commitment(salt: bytes, request: bytes) -> bytes:
    return sha256(b"adyton/request/v1" + salt + request)


def response_commitment(salt: bytes, chunks: list[bytes]) -> bytes:
    value = sha256(b"adyton/response/v1" + salt)
    for chunk in chunks:
        value = sha256(value + lp(chunk))
    return value


def check_answer(receipt_bytes: bytes, document: Document, manifest: bytes, salt: bytes, request: bytes,
                 chunks: list[bytes], simulation: bool, accept_cut: bool = False) -> Receipt:
    """Steps 19 to 25, under the receipt key of a document that was accepted before."""
    receipt = parse_receipt(receipt_bytes, document.public_key or b"")
    require(receipt.manifest == sha384(manifest), "receipt-manifest")
    require(receipt.request == request_commitment(salt, request), "receipt-request")
    require(receipt.chunks == len(chunks), "receipt-chunk-count")
    require(receipt.response_bytes == sum(len(chunk) for chunk in chunks), "receipt-response-bytes")
    require(receipt.response == response_commitment(salt, chunks), "receipt-response")
    require(receipt.status == 0 or accept_cut, "receipt-cut")
    require(receipt.issued_at >= document.timestamp, "receipt-before-evidence")
    require(receipt.simulated == simulation, "receipt-simulation")
    return receipt


BUNDLE_LENGTHS = {"receipt": None, "document": None, "manifest": None, "salt": 32, "nonce": 32,
                  "exporter": 48, "spki_sha384": 48, "request": None}


def parse_bundle(value: Any) -> dict[str, Any]:
    code = "bundle-unreadable"
    require(isinstance(value, dict) and not getattr(value, "twice", False), code)
    wanted = {*BUNDLE_LENGTHS, "response"}
    require(set(value) - {"endorsement"} == wanted, code)
    require(isinstance(value["response"], list), code)
    try:
        result: dict[str, Any] = {name: unbase64(value[name]) for name in BUNDLE_LENGTHS}
        result["response"] = [unbase64(chunk) for chunk in value["response"]]
    except ValueError:
        reject(code)
    for name, length in BUNDLE_LENGTHS.items():
        require(length is None or len(result[name]) == length, code)
    result["endorsement"] = value.get("endorsement")
    return result


def is_simulation(root: bytes | None) -> bool:
    return root is not None and sha256(root) != AWS_ROOT_SHA256


def check_bundle(value: Any, root: bytes | None, policy: Policy | None,
                 accept_cut: bool = False) -> tuple[Receipt, bytes]:
    """A kept receipt, offline: the document at its own time, then the receipt. Returns it and its key."""
    bundle = parse_bundle(value)
    session = {"role": "enclave", "exporter": bundle["exporter"], "spki_sha384": bundle["spki_sha384"],
               "manifest_sha384": sha384(bundle["manifest"])}
    expected = Expected(root=root, nonce=bundle["nonce"], session=session, policy=policy,
                        endorsement=bundle["endorsement"])
    document = appraise(bundle["document"], expected)
    receipt = check_answer(bundle["receipt"], document, bundle["manifest"], bundle["salt"], bundle["request"],
                           bundle["response"], is_simulation(root), accept_cut)
    return receipt, document.public_key or b""


def check_sequence(receipts: list[tuple[Receipt, bytes]], first: int) -> None:
    """All of one boot under one key, numbered from `first` without gap or repeat."""
    require(len(receipts) > 0, "sequence-empty")
    require(len({(receipt.boot, key) for receipt, key in receipts}) == 1, "sequence-other-boot")
    numbers = sorted(receipt.sequence for receipt, _ in receipts)
    require(numbers[0] >= first, "sequence-before-first")
    require(len(set(numbers)) == len(numbers), "sequence-repeat")
    require(numbers == list(range(first, first + len(numbers))), "sequence-gap")


# ---------------------------------------------------------------- the corpus contract


def _case_hex(value: Any, length: int) -> bytes:
    if not isinstance(value, str) or len(value) != 2 * length or not is_hex(value):
        raise CaseError(f"not {length} bytes in hex")
    return bytes.fromhex(value)


def _case_number(value: Any) -> int:
    if not is_uint(value):
        raise CaseError("not an unsigned number")
    return value


def _case_root(case: dict[str, Any]) -> bytes | None:
    return None if case.get("root") is None else unbase64(case["root"])


def _case_policy(case: dict[str, Any]) -> Policy | None:
    return None if case.get("policy") is None else parse_policy(case["policy"])


def _case_session(case: dict[str, Any]) -> dict[str, Any] | None:
    session = case.get("session")
    if session is None:
        return None
    return {name: value if name == "role" else _case_hex(value, 48) for name, value in session.items()}


def judge_document(case: dict[str, Any]) -> None:
    """A case of `adyton/corpus/v1`."""
    now_ms, max_age = case.get("now_ms"), case.get("max_age_ms")
    expected = Expected(
        root=_case_root(case),
        now_ms=None if now_ms is None else _case_number(now_ms),
        max_age_ms=DEFAULT_MAX_AGE_MS if max_age is None else _case_number(max_age),
        nonce=None if case.get("nonce") is None else _case_hex(case["nonce"], 32),
        session=_case_session(case),
        policy=_case_policy(case),
        endorsement=case.get("endorsement"))
    appraise(unbase64(case["document"]), expected)


def judge_receipts(case: dict[str, Any]) -> None:
    """A case of `adyton/receipt-corpus/v1`."""
    root, policy = _case_root(case), _case_policy(case)
    accept_cut = case.get("accept_cut") is True
    receipts = [check_bundle(bundle, root, policy, accept_cut) for bundle in case["bundles"]]
    if case.get("sequence_from") is not None:
        check_sequence(receipts, _case_number(case["sequence_from"]))
    elif not receipts:
        raise CaseError("no bundle")


def judge(text: bytes) -> dict[str, str]:
    """One case, one verdict. Any exception from here means that there is no verdict."""
    case = load_json(text)
    judges = {"adyton/corpus/v1": judge_document, "adyton/receipt-corpus/v1": judge_receipts}
    try:
        judges[case["format"]](case)
    except Reject as refusal:
        return {"verdict": "reject", "code": refusal.code}
    return {"verdict": "accept"}


def main(arguments: list[str]) -> int:
    if arguments == []:
        try:
            print(json.dumps(judge(sys.stdin.buffer.read())), flush=True)
            return 0
        except Exception:
            traceback.print_exc()
            return 1
    if arguments == ["--lines"]:
        for line in sys.stdin.buffer:
            try:
                verdict = judge(line)
            except Exception as error:
                traceback.print_exc()
                verdict = {"verdict": "none", "error": type(error).__name__}
            print(json.dumps(verdict), flush=True)
        return 0
    print("usage: verifier.py [--lines] < case", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
