"""Mints capabilities through the admin API, as an operator of one tenant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Sequence
from urllib.parse import quote

from ._http import TIMEOUT_DEFAULT, Address, Token, send, text_of
from .errors import Rejected, Unavailable


@dataclass(frozen=True)
class Minted:
    #: Names it in records.
    id: str
    #: The token. It is shown once and stored nowhere.
    capability: str = field(repr=False)
    agent: str
    #: RFC 3339
    expires_at: str
    #: Pass it as ``min_revision`` to ask only who knows of it already.
    revision: str


class Admin:
    """An operator of one tenant at one Countersign. It never repeats a request by itself."""

    def __init__(self, base_url: str, token: Token, tenant: str, *, timeout: float = TIMEOUT_DEFAULT) -> None:
        self._address = Address.parse(base_url)
        self._token = token
        self._tenant = tenant
        self._timeout = timeout

    def mint(
        self,
        agent: str,
        *,
        tools: Optional[Sequence[str]] = None,
        forbidden_tools: Optional[Sequence[str]] = None,
        upstreams: Optional[Sequence[str]] = None,
        calls: Optional[int] = None,
        expires_in: Optional[int] = None,
        not_before: Optional[int] = None,
        task: Optional[str] = None,
        actor: Optional[str] = None,
        audience: Optional[str] = None,
        sender: Optional[Mapping[str, str]] = None,
        arguments: Optional[Sequence[Mapping[str, Any]]] = None,
        amounts: Optional[Sequence[Mapping[str, Any]]] = None,
    ) -> Minted:
        """A new capability for a registered agent; what is left out is not limited by it.

        ``expires_in`` are seconds, at most 31 days, an hour when left out; ``not_before`` are unix seconds.
        Raises Rejected and Unavailable.
        """
        body = {
            "agent": agent,
            "tools": tools,
            "forbidden_tools": forbidden_tools,
            "upstreams": upstreams,
            "calls": calls,
            "expires_in_s": expires_in,
            "not_before": not_before,
            "task": task,
            "actor": actor,
            "audience": audience,
            "sender": sender,
            "arguments": arguments,
            "amounts": amounts,
        }
        path = f"/v1/tenants/{quote(self._tenant, safe='')}/capabilities"
        headers = {"Authorization": f"Bearer {text_of(self._token)}"}
        answer = send(self._address, path, headers, body, self._timeout, Rejected)
        parts = [answer.get(name) for name in ("id", "capability", "agent", "expires_at", "revision")]
        if all(isinstance(part, str) for part in parts):
            return Minted(*parts)
        raise Unavailable("client.unexpected_answer", "The answer is not a minted capability.")
