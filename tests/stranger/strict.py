"""Strict readers of JSON, base64, hex, CBOR and COSE_Sign1, and the signature checks.

What it does: it reads each format in the one form that the documentation permits. `Reject` is the exception
for everything that is refused; `CborError` says what is wrong with a CBOR encoding, for the caller to name.

What it does not do: it knows nothing of documents, certificates or receipts.

What it trusts: `json`, `base64`, `hashlib`, and `cryptography` for ECDSA P-384 and Ed25519.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA384


class Reject(Exception):
    """The evidence is refused, with a code of the corpus."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def reject(code: str) -> NoReturn:
    raise Reject(code)


def require(condition: bool, code: str) -> None:
    if not condition:
        raise Reject(code)


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def sha384(data: bytes) -> bytes:
    return hashlib.sha384(data).digest()


def lp(data: bytes) -> bytes:
    """The length as four bytes, big-endian, then the bytes."""
    return len(data).to_bytes(4, "big") + data


# ---------------------------------------------------------------- JSON, base64, hex


class Obj(dict):
    """A JSON object that remembers whether a key stood in it twice."""

    twice: bool = False


def _object(pairs: list[tuple[str, Any]]) -> Obj:
    result = Obj(pairs)
    result.twice = len(result) != len(pairs)
    return result


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def load_json(text: str | bytes) -> Any:
    """Read JSON. NaN and Infinity are refused, keys written twice are remembered."""
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)


def unbase64(text: Any) -> bytes:
    """Standard base64 with padding, in its only canonical form. ValueError otherwise."""
    if not isinstance(text, str):
        raise ValueError("not a string")
    data = base64.b64decode(text.encode("ascii"), validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("base64 is not canonical")
    return data


def unbase64url(text: Any) -> bytes:
    """base64url without padding, in its only canonical form. ValueError otherwise."""
    if not isinstance(text, str) or "=" in text:
        raise ValueError("not a base64url string without padding")
    data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if base64url(data) != text:
        raise ValueError("base64url is not canonical")
    return data


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def is_hex(text: str) -> bool:
    return all(c in "0123456789abcdefABCDEF" for c in text)


def is_uint(value: Any, limit: int = 2**64) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < limit


# ---------------------------------------------------------------- CBOR (RFC 8949, strict)


class CborError(Exception):
    """What is wrong with an encoding: one word, such as "truncated"."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class CborReader:
    """Reads one item and nothing after it. Only the outermost map may have indefinite length."""

    MAX_DEPTH = 4
    MAX_ITEMS = 512
    MAX_ENTRIES = 64

    def __init__(self, data: bytes, indefinite_top: bool) -> None:
        self.data = data
        self.pos = 0
        self.items = 0
        self.indefinite_top = indefinite_top

    def read_all(self) -> Any:
        value = self._item(1)
        if self.pos != len(self.data):
            raise CborError("trailing-bytes")
        return value

    def _take(self, count: int) -> bytes:
        if count > len(self.data) - self.pos:
            raise CborError("truncated")
        self.pos += count
        return self.data[self.pos - count:self.pos]

    def _argument(self, info: int) -> int:
        if info < 24:
            return info
        value = int.from_bytes(self._take(1 << (info - 24)), "big")
        least = 24 if info == 24 else 1 << (8 << (info - 25))
        if value < least:
            raise CborError("not-shortest")
        return value

    def _item(self, depth: int) -> Any:
        self.items += 1
        if self.items > self.MAX_ITEMS:
            raise CborError("too-many-items")
        initial = self._take(1)[0]
        major, info = initial >> 5, initial & 31
        if major == 6:
            raise CborError("tag")
        if 28 <= info <= 30:
            raise CborError("reserved")
        if major == 7 and info == 31:
            raise CborError("reserved")
        if major == 7:
            return self._simple(info)
        if major in (4, 5) and depth > self.MAX_DEPTH:
            raise CborError("too-deep")
        if info == 31:
            return self._indefinite(major, depth)
        argument = self._argument(info)
        if major == 0:
            return argument
        if major == 1:
            return -1 - argument
        if major == 2:
            return self._take(argument)
        if major == 3:
            return self._text(self._take(argument))
        if argument > self.MAX_ENTRIES:
            raise CborError("too-many-items")
        if major == 4:
            return [self._item(depth + 1) for _ in range(argument)]
        return self._map(argument, depth)

    def _simple(self, info: int) -> Any:
        if info not in (20, 21, 22):
            raise CborError("simple-value")
        return {20: False, 21: True, 22: None}[info]

    def _indefinite(self, major: int, depth: int) -> Any:
        if major in (0, 1):
            raise CborError("reserved")
        if major != 5 or depth != 1 or not self.indefinite_top:
            raise CborError("indefinite-length")
        result: dict[int | str, Any] = {}
        while self.data[self.pos:self.pos + 1] != b"\xff":
            if len(result) == self.MAX_ENTRIES:
                raise CborError("too-many-items")
            self._entry(result, depth)
        self._take(1)
        return result

    def _map(self, count: int, depth: int) -> dict[int | str, Any]:
        result: dict[int | str, Any] = {}
        for _ in range(count):
            self._entry(result, depth)
        return result

    def _entry(self, result: dict[int | str, Any], depth: int) -> None:
        if self.data[self.pos:self.pos + 1] and self.data[self.pos] >> 5 not in (0, 3):
            self._item(depth + 1)
            raise CborError("key-type")
        key = self._item(depth + 1)
        if key in result:
            raise CborError("duplicate-key")
        result[key] = self._item(depth + 1)

    @staticmethod
    def _text(data: bytes) -> str:
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            raise CborError("undecodable") from None


def cbor_head(major: int, argument: int) -> bytes:
    """Major type and argument in shortest form."""
    if argument < 24:
        return bytes([major << 5 | argument])
    size = next(n for n in (1, 2, 4, 8) if argument < 1 << (8 * n))
    return bytes([major << 5 | 23 + size.bit_length()]) + argument.to_bytes(size, "big")


def cbor_encode(value: Any) -> bytes:
    """The one deterministic encoding of what a receipt may hold; maps in ascending order of keys."""
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return cbor_head(0, value)
    if isinstance(value, bytes):
        return cbor_head(2, len(value)) + value
    if isinstance(value, str):
        data = value.encode()
        return cbor_head(3, len(data)) + data
    if isinstance(value, list):
        return cbor_head(4, len(value)) + b"".join(cbor_encode(item) for item in value)
    entries = [cbor_encode(key) + cbor_encode(value[key]) for key in sorted(value)]
    return cbor_head(5, len(entries)) + b"".join(entries)


# ---------------------------------------------------------------- COSE_Sign1 (RFC 9052), one form only


def parse_sign1(data: bytes, protected: bytes, signature_length: int, prefix: str) -> tuple[bytes, bytes]:
    """Payload and signature of an envelope in the one form that is accepted."""
    require(len(data) > 0, prefix + "truncated")
    require(data[0] >> 5 != 6, prefix + "tagged")
    require(data[0] == 0x84, prefix + "not-sign1")
    pos = _expect(data, 1, cbor_head(2, len(protected)) + protected, prefix, "protected-header")
    pos = _expect(data, pos, b"\xa0", prefix, "unprotected-header")
    length, pos = _payload_length(data, pos, prefix)
    require(length <= len(data) - pos, prefix + "truncated")
    payload = data[pos:pos + length]
    pos = _expect(data, pos + length, cbor_head(2, signature_length), prefix, "signature-length")
    require(signature_length <= len(data) - pos, prefix + "truncated")
    end = pos + signature_length
    require(end == len(data), prefix + "trailing-bytes")
    return payload, data[pos:end]


def _expect(data: bytes, pos: int, wanted: bytes, prefix: str, fault: str) -> int:
    found = data[pos:pos + len(wanted)]
    if found != wanted:
        reject(prefix + ("truncated" if wanted.startswith(found) else fault))
    return pos + len(wanted)


def _payload_length(data: bytes, pos: int, prefix: str) -> tuple[int, int]:
    require(pos < len(data), prefix + "truncated")
    require(data[pos] >> 5 == 2 and data[pos] & 31 <= 27, prefix + "payload")
    info = data[pos] & 31
    size = 0 if info < 24 else 1 << (info - 24)
    require(pos + 1 + size <= len(data), prefix + "truncated")
    length = info if size == 0 else int.from_bytes(data[pos + 1:pos + 1 + size], "big")
    head = data[pos:pos + 1 + size]
    require(head == cbor_head(2, length), prefix + "payload")
    return length, pos + 1 + size


def sig_structure(protected: bytes, payload: bytes) -> bytes:
    """What a COSE_Sign1 signature is over (RFC 9052, section 4.4)."""
    return b"\x84\x6aSignature1" + cbor_encode(protected) + b"\x40" + cbor_encode(payload)


def ed25519_holds(key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        return True
    except (InvalidSignature, ValueError):
        return False


def ecdsa_p384_holds(point: bytes, der_signature: bytes, message: bytes) -> bool:
    """ECDSA with SHA-384 under an uncompressed point; a point that is not on the curve verifies nothing."""
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), point)
        key.verify(der_signature, message, ec.ECDSA(SHA384()))
        return True
    except (InvalidSignature, ValueError):
        return False
