"""Certificates of the Nitro chain: a strict DER reader, their form, and their place in the chain.

What it does: `parse_certificate` judges the form, `check_place` basicConstraints, keyUsage and names.

What it does not do: it verifies no signature and compares no date; names are compared as bytes, not read.

What it trusts: nothing but its input's length.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from strict import reject, require

OID_BASIC_CONSTRAINTS = bytes.fromhex("551d13")
OID_KEY_USAGE = bytes.fromhex("551d0f")
ECDSA_WITH_SHA384 = bytes.fromhex("300a06082a8648ce3d040303")
P384_SPKI_PREFIX = bytes.fromhex("3076301006072a8648ce3d020106052b81040022036200")
MALFORMED = "certificate-malformed"


class Der:
    """A strict reader of DER values: one-byte tags, definite lengths in shortest form."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.pos = 0

    def peek(self) -> int | None:
        return self.data[self.pos] if self.pos < len(self.data) else None

    def raw(self, tag: int) -> bytes:
        """The next value with tag and length."""
        start = self.pos
        self.value(tag)
        return self.data[start:self.pos]

    def value(self, tag: int) -> bytes:
        """The contents of the next value, which must have this tag."""
        require(self.peek() == tag, MALFORMED)
        self.pos += 1
        length = self._length()
        require(length <= len(self.data) - self.pos, MALFORMED)
        self.pos += length
        return self.data[self.pos - length:self.pos]

    def end(self) -> None:
        require(self.pos == len(self.data), MALFORMED)

    def _length(self) -> int:
        first = self._byte()
        if first < 0x80:
            return first
        require(first in (0x81, 0x82, 0x83), MALFORMED)
        digits = bytes(self._byte() for _ in range(first & 0x7F))
        length = int.from_bytes(digits, "big")
        require(digits[0] != 0 and length >= 0x80, MALFORMED)
        return length

    def _byte(self) -> int:
        require(self.pos < len(self.data), MALFORMED)
        self.pos += 1
        return self.data[self.pos - 1]


def der_unsigned(content: bytes) -> int:
    """A non-negative INTEGER in shortest form."""
    require(len(content) > 0 and content[0] < 0x80, MALFORMED)
    require(len(content) == 1 or content[0] != 0 or content[1] >= 0x80, MALFORMED)
    return int.from_bytes(content, "big")


def der_optional_true(der: Der) -> bool:
    """A BOOLEAN DEFAULT FALSE: left out, or `ff`."""
    if der.peek() != 0x01:
        return False
    require(der.value(0x01) == b"\xff", MALFORMED)
    return True


def der_time(der: Der) -> int:
    """A time of a certificate in seconds since 1970."""
    code = "certificate-validity-form"
    tag = der.peek()
    require(tag in (0x17, 0x18), code)
    text = der.value(tag or 0)
    require(len(text) == (13 if tag == 0x17 else 15), code)
    require(text[-1:] == b"Z" and all(0x30 <= c <= 0x39 for c in text[:-1]), code)
    digits = text[:-1].decode("ascii")
    if tag == 0x17:
        digits = ("20" if digits[:2] < "50" else "19") + digits
    else:
        require(digits[:4] >= "2050", code)
    fields = [int(digits[:4])] + [int(digits[i:i + 2]) for i in range(4, 14, 2)]
    try:
        return int(datetime(*fields, tzinfo=timezone.utc).timestamp())
    except ValueError:
        reject(code)


@dataclass
class Certificate:
    tbs: bytes
    signature: bytes
    issuer: bytes
    subject: bytes
    not_before: int
    not_after: int
    point: bytes
    extensions: dict[bytes, tuple[bool, bytes]]


def parse_certificate(data: bytes) -> Certificate:
    """The form of a certificate; its place in the chain is judged by `check_place`."""
    outer = Der(data)
    body = Der(outer.value(0x30))
    outer.end()
    tbs = body.raw(0x30)
    require(body.raw(0x30) == ECDSA_WITH_SHA384, "certificate-signature-algorithm")
    bits = body.value(0x03)
    body.end()
    require(bits[:1] == b"\x00", MALFORMED)
    inner = Der(tbs)
    fields = Der(inner.value(0x30))
    require(fields.peek() == 0xA0, "certificate-version")
    require(fields.value(0xA0) == b"\x02\x01\x02", "certificate-version")
    serial = fields.value(0x02)
    require(len(serial) <= 21 and der_unsigned(serial) > 0, MALFORMED)
    require(fields.raw(0x30) == ECDSA_WITH_SHA384, "certificate-signature-algorithm")
    issuer = fields.raw(0x30)
    validity = Der(fields.value(0x30))
    not_before, not_after = der_time(validity), der_time(validity)
    validity.end()
    subject = fields.raw(0x30)
    spki = fields.raw(0x30)
    point = spki[len(P384_SPKI_PREFIX):]
    require(spki.startswith(P384_SPKI_PREFIX) and len(point) == 97, "certificate-key-algorithm")
    require(point[0] == 0x04, "certificate-key-algorithm")
    extensions = parse_extensions(fields)
    fields.end()
    return Certificate(tbs, bits[1:], issuer, subject, not_before, not_after, point, extensions)


def parse_extensions(fields: Der) -> dict[bytes, tuple[bool, bytes]]:
    wrapper = Der(fields.value(0xA3))
    entries = Der(wrapper.value(0x30))
    wrapper.end()
    require(entries.peek() is not None, MALFORMED)
    result: dict[bytes, tuple[bool, bytes]] = {}
    while entries.peek() is not None:
        entry = Der(entries.value(0x30))
        oid = entry.value(0x06)
        critical = der_optional_true(entry)
        value = entry.value(0x04)
        entry.end()
        require(oid not in result, "certificate-duplicate-extension")
        known = oid in (OID_BASIC_CONSTRAINTS, OID_KEY_USAGE)
        require(known or not critical, "certificate-unknown-critical-extension")
        result[oid] = (critical, value)
        require(len(result) <= 16, MALFORMED)
    return result


def parse_basic_constraints(value: bytes) -> tuple[bool, int | None]:
    outer = Der(value)
    body = Der(outer.value(0x30))
    outer.end()
    authority = der_optional_true(body)
    path_length = None
    if body.peek() is not None:
        content = body.value(0x02)
        require(content[:1] < b"\x80", "certificate-basic-constraints")
        path_length = der_unsigned(content)
    body.end()
    return authority, path_length


def parse_key_usage(value: bytes) -> tuple[bool, bool]:
    """digitalSignature and keyCertSign."""
    outer = Der(value)
    bits = outer.value(0x03)
    outer.end()
    require(2 <= len(bits) <= 3 and bits[0] <= 7, "certificate-key-usage")
    return bool(bits[1] & 0x80), bool(bits[1] & 0x04)


def check_place(certificate: Certificate, parent: Certificate | None, below: int, leaf: bool) -> None:
    """basicConstraints, pathLenConstraint, keyUsage and names, for this place in the chain."""
    code = "certificate-basic-constraints"
    require(OID_BASIC_CONSTRAINTS in certificate.extensions, code)
    critical, value = certificate.extensions[OID_BASIC_CONSTRAINTS]
    authority, path_length = parse_basic_constraints(value)
    if leaf:
        require(not authority and path_length is None, code)
    else:
        require(critical and authority, code)
        require(path_length is None or path_length >= below, "certificate-path-length")
    code = "certificate-key-usage"
    require(OID_KEY_USAGE in certificate.extensions, code)
    signs_data, signs_certificates = parse_key_usage(certificate.extensions[OID_KEY_USAGE][1])
    require(signs_data and not signs_certificates if leaf else signs_certificates, code)
    if parent is not None:
        require(certificate.issuer == parent.subject, "certificate-issuer")
        require(certificate.issuer != certificate.subject, "certificate-self-issued")
