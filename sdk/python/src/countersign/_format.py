"""A capability as text: unpadded base64url of one JSON object, members in a fixed order.

Described in docs/capability.md of Countersign. Reading is strict: what is not written in the one form that its content
has is refused.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Match, Pattern

from ._caveats import Caveat, is_name, is_seconds, number_text, read_caveat
from .errors import MalformedCapability

_VERSION = 4
_CHARS_MAX = 16 * 1024
_CAVEATS_MAX = 64
_SIGNATURE_BYTES = 32


@dataclass(frozen=True)
class Parts:
    """Claims are the object's members up to ``iat`` or ``nbf``, in order."""

    claims: Dict[str, Any]
    caveats: List[Caveat]
    signature: bytes


def read(token: str) -> Parts:
    """The parts of a capability; nothing is verified. Raises MalformedCapability."""
    if len(token) > _CHARS_MAX:
        raise MalformedCapability(f"longer than {_CHARS_MAX} characters")
    text = _text(_bytes(token))
    members = _members(text)
    if members.get("v") != _VERSION:
        raise MalformedCapability("only version 4 is accepted", "capability.version")
    parts = Parts(_claims(members), _caveats(members.get("cav", [])), _signature(members.get("sig")))
    # Foreign, repeated, reordered and differently written members all fail here.
    if not any(_object_text(parts, writer) == text for writer in _WRITERS):
        raise MalformedCapability("not written in the one form that its content has")
    return parts


def write(parts: Parts) -> str:
    """The text of a capability in Countersign's own form. Raises MalformedCapability for what could not be read back."""
    token = _base64url(_object_text(parts, _GO).encode("utf-8"))
    read(token)
    return token


def signed_bytes(caveat: Caveat) -> bytes:
    """The bytes of a caveat that its signature covers."""
    return _encode(caveat, _GO).encode("utf-8")


@dataclass(frozen=True)
class _Writer:
    """How a program writes JSON."""

    escaped: Pattern[str]
    item: str = ","
    name: str = ":"


# As Go's encoding/json.
_GO = _Writer(re.compile("[<>&\u2028\u2029]"))
# Capabilities written by IntentGate's JavaScript and Python SDKs can be read, too.
_JAVASCRIPT = _Writer(re.compile("(?!)"))
_PYTHON = _Writer(re.compile("[\u007f-\U0010ffff]"), ", ", ": ")
_WRITERS = (_GO, _JAVASCRIPT, _PYTHON)


def _encode(value: Any, writer: _Writer) -> str:
    if isinstance(value, str):
        return _encode_text(value, writer)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return number_text(value)
    if isinstance(value, (list, tuple)):
        return "[" + writer.item.join(_encode(entry, writer) for entry in value) + "]"
    members = (_encode_text(name, writer) + writer.name + _encode(content, writer) for name, content in value.items())
    return "{" + writer.item.join(members) + "}"


def _encode_text(text: str, writer: _Writer) -> str:
    return writer.escaped.sub(_escape, json.dumps(text, ensure_ascii=False))


def _escape(found: Match[str]) -> str:
    """As ``\\uxxxx``, a character beyond U+FFFF as two of them."""
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def _object_text(parts: Parts, writer: _Writer) -> str:
    members = dict(parts.claims)
    if parts.caveats:
        members["cav"] = parts.caveats
    members["sig"] = _base64url(parts.signature)
    return _encode(members, writer)


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def _bytes(text: str) -> bytes:
    """Without padding, blanks, foreign characters or stray bits in the last one."""
    try:
        content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        content = b""
    if text == "" or _base64url(content) != text:
        raise MalformedCapability("not unpadded base64url")
    return content


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as cause:
        raise MalformedCapability("not UTF-8") from cause


def _members(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as cause:
        raise MalformedCapability("not JSON") from cause
    if not isinstance(value, dict):
        raise MalformedCapability("not a JSON object")
    return value


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number in JSON")


def _claims(members: Mapping[str, Any]) -> Dict[str, Any]:
    claims: Dict[str, Any] = {"v": _VERSION}
    for name in ("jti", "root_jti", "iss", "tenant", "zone", "sub"):
        if not is_name(members.get(name)):
            raise MalformedCapability(f'"{name}" must be a text of 1 to 1024 bytes')
        claims[name] = members[name]
    for name in ("iat", "nbf"):
        if name == "nbf" and name not in members:
            continue
        if not is_seconds(members.get(name)):
            raise MalformedCapability(f'"{name}" must be whole unix seconds')
        claims[name] = members[name]
    return claims


def _caveats(value: Any) -> List[Caveat]:
    if not isinstance(value, list):
        raise MalformedCapability('"cav" must be a list')
    if len(value) > _CAVEATS_MAX:
        raise MalformedCapability(f"more than {_CAVEATS_MAX} caveats")
    return [read_caveat(entry) for entry in value]


def _signature(value: Any) -> bytes:
    if not isinstance(value, str):
        raise MalformedCapability('"sig" is missing')
    content = _bytes(value)
    if len(content) != _SIGNATURE_BYTES:
        raise MalformedCapability('"sig" must be 32 bytes')
    return content
