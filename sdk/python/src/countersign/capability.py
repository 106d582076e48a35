"""Capabilities in the hands of their holder: look into one, make a narrower one. Offline, without any key."""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Iterable, List, Mapping, Optional, Sequence, Union

from ._caveats import Caveat, read_caveat
from ._format import Parts, read, signed_bytes, write

#: A date with a time zone, or whole unix seconds.
Time = Union[datetime, int]


@dataclass(frozen=True)
class Inspection:
    """What a capability says. Nothing of it is verified: only Countersign can do that. Times are unix seconds."""

    id: str
    root_id: str
    issuer: str
    tenant: str
    zone: str
    agent: str
    issued_at: int
    not_before: Optional[int]
    #: The earliest of its expiries; None when it has none.
    expires_at: Optional[int]
    caveats: List[Caveat]
    #: Revoking this revokes the capability and all that was narrowed from it. The ids of its parents need the key.
    revocation_id: str


def attenuate(
    token: str,
    *,
    tools: Optional[Sequence[str]] = None,
    forbidden_tools: Optional[Sequence[str]] = None,
    expires: Optional[Time] = None,
    expires_in: Optional[int] = None,
    not_before: Optional[Time] = None,
    calls: Optional[int] = None,
    upstreams: Optional[Sequence[str]] = None,
    task: Optional[str] = None,
    actor: Optional[str] = None,
    audience: Optional[str] = None,
    sender: Optional[Mapping[str, str]] = None,
    arguments: Iterable[Mapping[str, Any]] = (),
    amounts: Iterable[Mapping[str, Any]] = (),
    caveats: Iterable[Caveat] = (),
) -> str:
    """The same capability, narrowed. Needs no key; the result is another token, the given one stays as it is.

    What is left out stays as it was; nothing can be widened. ``expires_in`` are seconds from now. ``calls`` and the
    ``total`` of an amount need an expiry of at most 31 days before them, here or in the parent. ``arguments`` are
    conditions such as ``{"path": "/amount", "max": 50}``; ``sender`` is the key that a caller must prove to hold, as
    ``{"jkt": thumbprint}`` or ``{"x5t#S256": thumbprint}``; ``caveats`` are further ones as they stand in a capability.
    Raises MalformedCapability when the token is none, or what is asked cannot be stated.
    """
    # In one fixed order, the expiry before whatever is counted.
    stated: List[Optional[Mapping[str, Any]]] = [
        _caveat("exp", exp=_seconds(expires)),
        _caveat("exp", exp=None if expires_in is None else int(time.time()) + expires_in),
        _caveat("nbf", nbf=_seconds(not_before)),
        _caveat("tool_allow", tools=tools),
        _caveat("tool_deny", tools=forbidden_tools),
        _caveat("upstream", upstreams=upstreams),
        _caveat("task", task=task),
        _caveat("actor", agent=actor),
        _caveat("audience", audience=audience),
        None if sender is None else {"t": "sender", **sender},
        *({"t": "args", **condition} for condition in arguments),
        *({"t": "amount", **amount} for amount in amounts),
        _caveat("max_calls", max_calls=calls),
        *caveats,
    ]
    parent = read(token)
    added = [read_caveat(caveat) for caveat in stated if caveat is not None]
    last = parent.signature
    for caveat in added:
        last = hmac.new(last, signed_bytes(caveat), hashlib.sha256).digest()
    return write(Parts(parent.claims, [*parent.caveats, *added], last))


def inspect(token: str) -> Inspection:
    """What a capability says; nothing is verified. Raises MalformedCapability."""
    parts = read(token)
    claims = parts.claims
    return Inspection(
        id=claims["jti"],
        root_id=claims["root_jti"],
        issuer=claims["iss"],
        tenant=claims["tenant"],
        zone=claims["zone"],
        agent=claims["sub"],
        issued_at=claims["iat"],
        not_before=claims.get("nbf"),
        expires_at=min((caveat["exp"] for caveat in parts.caveats if caveat["t"] == "exp"), default=None),
        caveats=parts.caveats,
        revocation_id=hashlib.sha256(parts.signature).hexdigest(),
    )


def _caveat(kind: str, **members: Any) -> Optional[Caveat]:
    """None when nothing was asked."""
    return None if None in members.values() else {"t": kind, **members}


def _seconds(moment: Optional[Time]) -> Optional[int]:
    if not isinstance(moment, datetime):
        return moment
    if moment.tzinfo is None:
        raise ValueError("a date needs a time zone, such as datetime.now(timezone.utc)")
    return int(moment.timestamp())
