"""The caveats of a capability: what each holds, read strictly. Described in docs/capability.md of Countersign."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from .errors import MalformedCapability

Caveat = Dict[str, Any]

_TEXT_BYTES_MAX = 1024
_LIST_ENTRIES_MAX = 256
_SAFE_INTEGER_MAX = 2**53 - 1
# The last second of the year 9999.
_SECONDS_MAX = 253_402_300_799
# A well-formed pattern of Go's path.Match; a class may be negated and holds characters and ranges.
_PATTERN = re.compile(r"(?:[^\\[]|\\.|\[(?:\^|(?!\^))(?:(?:\\.|[^\\\]-])(?:-(?:\\.|[^\\\]-]))?)+\])*", re.DOTALL)
_POINTER = re.compile(r"(?:/(?:[^~/]|~[01])*)+")
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
_DECIMAL = re.compile(r"-?[0-9]+(?:\.[0-9]{1,6})?")


def number_text(value: Any) -> str:
    """The shortest decimal that reads back as the same double; an exponent where a double needs one."""
    if isinstance(value, int):
        return str(value)
    if value.is_integer():
        return str(int(value))
    # repr has the shortest digits, but takes to an exponent earlier than the format does.
    return format(Decimal(repr(value)), "f")


def _is_text(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        return len(value.encode("utf-8")) <= _TEXT_BYTES_MAX
    except UnicodeEncodeError:  # half a surrogate pair is no character
        return False


def is_name(value: Any) -> bool:
    return _is_text(value) and value != ""


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _SAFE_INTEGER_MAX


def is_seconds(value: Any) -> bool:
    return _is_count(value) and value <= _SECONDS_MAX


def _is_decimal(value: Any) -> bool:
    """A number that every language writes alike: micro-units at most, never with an exponent."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    # False for what is not a number, too.
    return abs(value) <= _SAFE_INTEGER_MAX and _DECIMAL.fullmatch(number_text(value)) is not None


def _is_amount(value: Any) -> bool:
    return _is_decimal(value) and value > 0


def _is_list(value: Any, holds: Callable[[Any], bool]) -> bool:
    if not isinstance(value, (list, tuple)):
        return False
    return 0 < len(value) <= _LIST_ENTRIES_MAX and all(holds(entry) for entry in value)


def _is_names(value: Any) -> bool:
    return _is_list(value, is_name)


def _is_tool(value: Any) -> bool:
    return is_name(value) and (re.search(r"[*?[]", value) is None or _PATTERN.fullmatch(value) is not None)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, bool) or _is_text(value) or _is_decimal(value)


def _is_thumbprint(value: Any) -> bool:
    return isinstance(value, str) and _THUMBPRINT.fullmatch(value) is not None


# Members by caveat; a question mark stands after an optional one.
_SHAPES: Mapping[str, Tuple[str, ...]] = {
    "agent_lock": ("agent",),
    "exp": ("exp",),
    "tool_allow": ("tools",),
    "tool_deny": ("tools",),
    "mcp_allow": ("servers",),
    "max_calls": ("max_calls",),
    "step_up": ("step_up_at",),
    "callee_allow": ("callees?", "callee_zones?"),
    "risk_max": ("risk_max",),
    "rate_limit": ("rate_per_min",),
    "max_cost": ("max_cents",),
    "nbf": ("nbf",),
    "upstream": ("upstreams",),
    "tenant": ("tenant",),
    "task": ("task",),
    "actor": ("agent",),
    "audience": ("audience",),
    "args": ("path", "equals?", "one_of?", "prefix?", "min?", "max?"),
    "amount": ("path", "max?", "total?"),
    "sender": ("jkt?", "x5t#S256?"),
}

# Every member in signing order, and what its value must be.
_MEMBERS: Mapping[str, Callable[[Any], bool]] = {
    "tools": lambda value: _is_list(value, _is_tool),
    "agent": is_name,
    "exp": is_seconds,
    "max_calls": _is_count,
    "step_up_at": is_seconds,
    "callees": _is_names,
    "callee_zones": _is_names,
    "servers": _is_names,
    "rate_per_min": _is_count,
    "max_cents": _is_count,
    "risk_max": _is_count,
    "nbf": is_seconds,
    "upstreams": _is_names,
    "tenant": is_name,
    "task": is_name,
    "audience": is_name,
    "path": lambda value: is_name(value) and _POINTER.fullmatch(value) is not None,
    "equals": _is_scalar,
    "one_of": lambda value: _is_list(value, _is_text) or _is_list(value, _is_decimal),
    "prefix": is_name,
    "min": _is_decimal,
    "max": _is_decimal,
    "total": _is_amount,
    "jkt": _is_thumbprint,
    "x5t#S256": _is_thumbprint,
}


def read_caveat(value: Any) -> Caveat:
    """The caveat that a value states, its members in signing order.

    Raises MalformedCapability for an unknown type, a missing, foreign or mistyped member, and a condition that says
    nothing.
    """
    if not isinstance(value, Mapping):
        raise MalformedCapability("a caveat is not an object")
    kind = value.get("t")
    if not isinstance(kind, str):
        raise MalformedCapability("a caveat has no type")
    if kind not in _SHAPES:
        raise MalformedCapability(f'unknown caveat "{kind}"', "capability.unknown_caveat")
    fault = _shape_fault(_SHAPES[kind], value) or _meaning_fault(kind, value)
    if fault is not None:
        raise MalformedCapability(f'caveat "{kind}": {fault}')
    return {"t": kind, **{member: value[member] for member in _MEMBERS if member in value}}


def _shape_fault(allowed: Tuple[str, ...], value: Mapping[str, Any]) -> Optional[str]:
    for member, content in value.items():
        if member == "t":
            continue
        if member not in allowed and f"{member}?" not in allowed:
            return f'"{member}" does not belong to it'
        if not _MEMBERS[member](content):
            return f'"{member}" cannot have this value'
    missing = [member for member in allowed if not member.endswith("?") and member not in value]
    return f'"{missing[0]}" is missing' if missing else None


def _meaning_fault(kind: str, value: Mapping[str, Any]) -> Optional[str]:
    """What a caveat with optional members must say beyond its shape, so that none is empty."""
    if kind == "callee_allow" and not value.keys() & {"callees", "callee_zones"}:
        return "it says nothing"
    if kind == "sender" and len(value.keys() & {"jkt", "x5t#S256"}) != 1:
        return "it must name one key"
    if kind == "amount" and not value.keys() & {"max", "total"}:
        return "it says nothing"
    if kind == "amount" and not _is_amount(value.get("max", 1)):
        return '"max" must be above 0'
    return _condition_fault(value) if kind == "args" else None


def _condition_fault(value: Mapping[str, Any]) -> Optional[str]:
    ranged = bool(value.keys() & {"min", "max"})
    if len(value.keys() & {"equals", "one_of", "prefix"}) + ranged != 1:
        return "it must state exactly one condition"
    empty = "min" in value and "max" in value and value["min"] > value["max"]
    return '"min" is above "max"' if empty else None
