"""A receipt as text, and whether what it says was signed (docs/receipts.md of Countersign)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, Mapping, Optional

from ._canonical import canonical

_CHARS_MAX = 4_096
_SIGNATURE_BYTES = 64
_HASH_BYTES = 32
_HEAD_BYTES = 4

_HASH = "sha256:[0-9a-f]{64}"
_TEXTS = {
    "args_hash": _HASH,
    "call": _HASH,
    "decision_id": ".*",
    "definition_hash": f"({_HASH})?",
    "key": "[A-Za-z0-9_-]{43}",
    "nonce": "[0-9a-f]{32}",
    "policy": f"({_HASH})?",
    "tenant": ".*",
    "tool": ".*",
    "upstream": ".*",
    "verdict": "allow|block|escalate",
    "worker": ".*",
}
_NUMBERS = ("at", "exp", "v")
_EXACT_MAX = 2**53 - 1


@dataclass(frozen=True)
class Unverified:
    """A receipt that was read and not verified."""

    statement: Mapping[str, Any]
    #: What the key must have signed.
    signed: bytes
    signature: bytes


def sha256(text: str) -> str:
    """``sha256:`` and the hex digest of a text."""
    return f"sha256:{hashlib.sha256(text.encode('utf-8')).hexdigest()}"


def read_receipt(text: str) -> Optional[Unverified]:
    """Reads a receipt; None for a text that is none. Untrusted input."""
    parts = text.split(".") if len(text) <= _CHARS_MAX else []
    if len(parts) != 3 or parts[0] != "csr1":
        return None
    said, proof = base64url(parts[1]), base64url(parts[2])
    if said is None or proof is None:
        return None
    statement = _statement(said)
    if statement is None or _call(statement) != statement["call"]:
        return None
    signed = _signed(proof, hashlib.sha256(b"\0" + said).digest())
    if signed is None:
        return None
    return Unverified(statement, signed, proof[_HEAD_BYTES : _HEAD_BYTES + _SIGNATURE_BYTES])


def _statement(content: bytes) -> Optional[Mapping[str, Any]]:
    try:
        text = content.decode("utf-8")
        value = json.loads(text)
        return value if _is_statement(value) and canonical(value) == text else None
    except (ValueError, RecursionError):
        return None


def _is_statement(value: Any) -> bool:
    if not isinstance(value, dict) or len(value) != len(_TEXTS) + len(_NUMBERS):
        return False
    numbers = [value.get(name) for name in _NUMBERS]
    if not all(type(number) is int and abs(number) <= _EXACT_MAX for number in numbers) or value["v"] != 1:
        return False
    texts = ((value.get(name), form) for name, form in _TEXTS.items())
    return all(isinstance(text, str) and re.fullmatch(form, text, re.DOTALL) for text, form in texts)


def _call(statement: Mapping[str, Any]) -> str:
    """The commitment to the call that a statement describes."""
    names = ("args_hash", "definition_hash", "tenant", "tool", "upstream", "v")
    call = sha256(canonical({name: statement[name] for name in names}))
    return sha256(f"{statement['nonce']}\ncall\n{call}")


def _signed(proof: bytes, leaf: bytes) -> Optional[bytes]:
    """The text whose signature a proof carries (RFC 9162, section 2.1.3.2)."""
    path = proof[_HEAD_BYTES + _SIGNATURE_BYTES :]
    if len(proof) < _HEAD_BYTES + _SIGNATURE_BYTES or len(path) % _HASH_BYTES != 0:
        return None
    index, size = int.from_bytes(proof[:2], "big"), int.from_bytes(proof[2:4], "big")
    last = size - 1
    if index > last:
        return None
    root = leaf
    for start in range(0, len(path), _HASH_BYTES):
        sibling = path[start : start + _HASH_BYTES]
        if last == 0:
            return None
        if index % 2 == 1 or index == last:
            root = hashlib.sha256(b"\1" + sibling + root).digest()
            while index % 2 == 0 and index != 0:
                index >>= 1
                last >>= 1
        else:
            root = hashlib.sha256(b"\1" + root + sibling).digest()
        index >>= 1
        last >>= 1
    return f"countersign-receipt-1\n{size}\n{root.hex()}\n".encode("ascii") if last == 0 else None


def base64url(text: str) -> Optional[bytes]:
    """Unpadded base64url in its one form; None for anything else."""
    try:
        content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None
    return content if content and base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii") == text else None
