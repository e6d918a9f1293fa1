"""Unsigned reference values: which images, manifests and owner are accepted.

What it does: `parse_policy_text` reads a file, `parse_policy` what JSON holds. Each refusal has its code.

What it does not do: it reads no signed reference values (versions, signers, logs).

What it trusts: that the caller got the values from somebody whom he believes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from strict import is_hex, load_json, reject, require

MAX_POLICY = 256 * 1024
ZERO_REGISTER = bytes(48)


@dataclass
class Policy:
    images: list[tuple[bytes, bytes, bytes]]
    manifests: list[bytes]
    owner: str                  # signer, role, instance, endorser, anyone-at-all
    owner_value: bytes | None


OWNERS = {"signer": ("pcr8", 96), "role": ("pcr3", 96), "instance": ("pcr4", 96), "endorser": ("ed25519", 64)}


def parse_policy_text(text: str | bytes) -> Policy:
    """Unsigned reference values from a file."""
    require(len(text) <= MAX_POLICY, "policy-too-large")
    try:
        value = load_json(text)
    except (ValueError, RecursionError):
        reject("policy-not-json")
    return parse_policy(value)


def parse_policy(value: Any) -> Policy:
    fields = _policy_object(value, ("images", "manifests", "owner"))
    if "images" not in fields and "owner" in fields:
        reject("policy-owner-only")
    require(all(key in fields for key in ("images", "manifests", "owner")), "policy-missing")
    for name in ("images", "manifests"):
        require(isinstance(fields[name], list), "policy-wrong-type")
    if not fields["images"]:
        reject("policy-no-images" if fields["owner"] == "anyone-at-all" else "policy-owner-only")
    require(len(fields["manifests"]) > 0, "policy-no-manifests")
    images = [_policy_image(image) for image in fields["images"]]
    manifests = [_policy_hex(manifest, 96) for manifest in fields["manifests"]]
    require(ZERO_REGISTER not in manifests, "policy-zero-manifest")
    owner, owner_value = _policy_owner(fields["owner"])
    return Policy(images, manifests, owner, owner_value)


def _policy_object(value: Any, known: tuple[str, ...]) -> dict[str, Any]:
    require(isinstance(value, dict), "policy-wrong-type")
    require(not getattr(value, "twice", False), "policy-twice")
    require(all(key in known for key in value), "policy-unknown-key")
    return value


def _policy_hex(value: Any, digits: int) -> bytes:
    require(isinstance(value, str), "policy-wrong-type")
    require(is_hex(value), "policy-not-hex")
    require(len(value) == digits, "policy-wrong-digits")
    return bytes.fromhex(value)


def _policy_image(value: Any) -> tuple[bytes, bytes, bytes]:
    names = ("pcr0", "pcr1", "pcr2")
    fields = _policy_object(value, names)
    require(all(name in fields for name in names), "policy-part-of-image")
    registers = tuple(_policy_hex(fields[name], 96) for name in names)
    require(ZERO_REGISTER not in registers, "policy-zero-image")
    return registers


def _policy_owner(value: Any) -> tuple[str, bytes | None]:
    if value == "anyone-at-all":
        return "anyone-at-all", None
    require(isinstance(value, dict) and len(value) == 1, "policy-unknown-owner")
    kind = next(iter(value))
    require(kind in OWNERS, "policy-unknown-owner")
    name, digits = OWNERS[kind]
    fields = _policy_object(value[kind], (name,))
    require(name in fields, "policy-unknown-owner")
    pinned = _policy_hex(fields[name], digits)
    require(any(pinned), "policy-zero-owner")
    return kind, pinned
