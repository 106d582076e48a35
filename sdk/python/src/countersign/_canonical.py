"""Canonical JSON (RFC 8785): the one text of a JSON value, whose digest stands in a receipt."""

from __future__ import annotations

import json
import math
from typing import Any


def canonical(value: Any) -> str:
    """Raises ValueError for what has no canonical form: not JSON, lone surrogates, a number that is no double."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return _number(_exact(value))
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, list):
        return "[" + ",".join(canonical(entry) for entry in value) + "]"
    if isinstance(value, dict):
        if not all(isinstance(name, str) for name in value):
            raise ValueError("a member has no name")
        names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{_text(name)}:{canonical(value[name])}" for name in names) + "}"
    raise ValueError("has no canonical JSON form")


def _text(text: str) -> str:
    text.encode("utf-8")  # a lone surrogate is a UnicodeEncodeError, which is a ValueError
    return json.dumps(text, ensure_ascii=False)


def _exact(value: int) -> float:
    """Other readers make a double of it: one that differs would be another number to them."""
    try:
        double = float(value)
    except OverflowError as cause:
        raise ValueError("the number is too large") from cause
    if int(double) != value:
        raise ValueError("the number is beyond a double's exactness")
    return double


def _number(value: float) -> str:
    """As ECMAScript writes it: the shortest digits, with an exponent from 1e21 up and below 1e-6."""
    if not math.isfinite(value):
        raise ValueError("the number is not finite")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if len(digits) <= point <= 21:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    power = point - 1
    head = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
    return f"{sign}{head}e{'+' if power > 0 else '-'}{abs(power)}"
