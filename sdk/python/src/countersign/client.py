"""Asks Countersign whether a tool call may run, as an agent, and reports what became of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, List, Mapping, Optional, Sequence
from urllib.parse import quote

from ._http import TIMEOUT_DEFAULT, Address, Token, send, text_of
from .errors import Blocked, Expired, Held, Unavailable


@dataclass(frozen=True)
class Reason:
    #: Stable; branch on this, show the message.
    code: str
    check: str
    message: str
    help: str


@dataclass(frozen=True)
class Recorded:
    """Where the evidence of a decision stands, and what it survives."""

    ref: str
    durability: str


@dataclass(frozen=True)
class Decision:
    """A decision: recorded before it was answered."""

    decision_id: str
    #: allow, block or escalate
    verdict: str
    reason: Reason
    policy_reason: Optional[str]
    #: What whoever runs the call must do with it; see ``fulfils`` of ``Client.call``.
    obligations: List[Mapping[str, Any]]
    #: RFC 3339. An allow must not be acted on later.
    valid_until: str
    approval_id: Optional[str]
    #: Of a held call: asks what became of it.
    approval_handle: Optional[str]
    #: True for an answer that was given before (same call_id): a call that ran MUST NOT run again.
    repeated: bool
    recorded: Recorded
    #: Where one was asked for: the header Countersign-Receipt of the call to a tool server that checks receipts.
    receipt: Optional[str]
    #: The whole answer as it came.
    answer: Mapping[str, Any] = field(repr=False)


# How long one request waits at most: below what proxies usually allow. In seconds, as all times here.
_WAIT_ONCE = 30.0
# Between two requests where the first was not answered, or sooner than it should have been.
_PAUSE = 1.0


class Client:
    """One agent at one Countersign. Only ``wait`` repeats a request by itself. May be shared by threads."""

    def __init__(
        self, base_url: str, identity: Token, capability: Token = "", *, timeout: float = TIMEOUT_DEFAULT
    ) -> None:
        """An empty capability means a standing grant of the agent; ``timeout`` is in seconds."""
        self._address = Address.parse(base_url)
        self._identity = identity
        self._capability = capability
        self._timeout = timeout

    def ask(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        upstream: Optional[str] = None,
        call_id: Optional[str] = None,
        purpose: Optional[str] = None,
        session: Optional[str] = None,
        task: Optional[str] = None,
        min_revision: Optional[str] = None,
        receipt: bool = False,
        deadline_ms: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> Decision:
        """The decision about a call, whatever its verdict. Only ``allow`` may run.

        ``call_id`` makes a repeat safe for 24 hours: it gets the same answer. ``min_revision`` (from an answer of the
        admin API): judge only knowing this change. ``receipt``: answer with a receipt, for a tool server that checks
        them. ``deadline_ms``: how long the decision may take, 1 to 10,000.
        Raises Unavailable, Expired (identity) and Blocked when nothing was judged.
        """
        body = {
            "tool": tool,
            "arguments": arguments,
            "upstream": upstream,
            "call_id": call_id,
            "intent": None if purpose is None else {"purpose": purpose},
            "task_id": task,
            "session_id": session,
            "min_revision": min_revision,
            "receipt": True if receipt else None,
            "deadline_ms": deadline_ms,
        }
        return _decision(self._send("/v1/decisions", body, timeout))

    def call(
        self, tool: str, arguments: Mapping[str, Any], *, fulfils: Sequence[str] = (), **options: Any
    ) -> Decision:
        """The decision about a call that may run; anything else is raised. Takes the options of ``ask``.

        ``fulfils`` are the types of obligations that the caller fulfils; ``tag`` asks for nothing, any other one blocks.
        Raises Blocked, Held, Expired and Unavailable.
        """
        decision = self.ask(tool, arguments, **options)
        reason = decision.reason
        said = (reason.code, reason.message, reason.help, decision)
        if decision.verdict == "escalate":
            held = Held(*said)
            held.call = {"tool": tool, "arguments": arguments, "fulfils": fulfils, **options}
            raise held
        if reason.code == "capability.expired":
            raise Expired(*said)
        if decision.verdict != "allow":
            raise Blocked(*said)
        fulfilled = {"tag", *fulfils}
        for obligation in decision.obligations:
            if obligation["type"] not in fulfilled:
                raise Blocked(
                    "client.obligation",
                    f'The call is allowed only with the obligation "{obligation["type"]}", which nobody fulfils here.',
                    'Fulfil it and name it in "fulfils", or call through the gateway.',
                    decision,
                )
        return decision

    def wait(self, held: Held, *, timeout: float = 300.0) -> Decision:
        """Waits until people have decided about a held call; once they approve, asks for exactly that call again.

        A wait of ``timeout`` seconds that ends earlier raises ``held`` again: the call still waits, and so can you.
        Raises Blocked (``approval.denied``, or another end: ``approval.expired``, ...), Held, Expired and Unavailable.
        """
        handle = None if held.decision is None else held.decision.approval_handle
        if handle is None:
            raise held
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            asked = time.monotonic()
            said = self._state(handle, left)
            if said.get("state") == "approved":
                return self.call(**held.call)
            if said.get("next") != "wait":
                message, note = said.get("message", "It will not run."), said.get("note", "")
                raise Blocked(f"approval.{said.get('state', 'unknown')}", str(message), str(note), held.decision)
            now = time.monotonic()
            time.sleep(max(0.0, min(_PAUSE - (now - asked), end - now)))
        raise held

    def _state(self, handle: str, left: float) -> Mapping[str, Any]:
        """What became of a held call; as if it waited where nobody could say it in time."""
        wait = min(_WAIT_ONCE, left)
        try:
            return self._send(f"/v1/approvals/{quote(handle, safe='')}?wait={int(wait)}", None, wait + self._timeout)
        except Unavailable as error:
            if left <= _PAUSE:
                raise
            time.sleep(min(error.retry_after or 0, left))
            return {"next": "wait"}

    def report(
        self, decision: Decision, status: str, *, result: Any = None, error: Optional[str] = None
    ) -> None:
        """Records what became of an allowed call: executed, failed, refused_late or unknown.

        ``result`` is kept in the record, at most 64 KiB. Safe to repeat with the same content. Raises Unavailable,
        Expired (identity) and Blocked (unknown, or another outcome was reported).
        """
        path = f"/v1/decisions/{quote(decision.decision_id, safe='')}/outcome"
        body = {"ref": decision.recorded.ref, "status": status, "result": result, "error": error}
        self._send(path, body, None)

    def _send(self, path: str, body: Optional[Mapping[str, Any]], timeout: Optional[float]) -> Mapping[str, Any]:
        headers = {"Authorization": f"Bearer {text_of(self._identity)}"}
        capability = text_of(self._capability)
        if capability:
            headers["Countersign-Capability"] = capability
        return send(self._address, path, headers, body, self._timeout if timeout is None else timeout, Blocked)


def _decision(answer: Mapping[str, Any]) -> Decision:
    """Fails closed: an answer that is not wholly a decision allows nothing."""
    try:
        reason, recorded, obligations = answer["reason"], answer["recorded"], answer["obligations"]
        decision = Decision(
            decision_id=_text(answer["decision_id"]),
            verdict=_text(answer["verdict"]),
            reason=Reason(*(_text(reason[name]) for name in ("code", "check", "message", "help"))),
            policy_reason=answer.get("policy_reason"),
            obligations=[{**obligation, "type": _text(obligation["type"])} for obligation in obligations],
            valid_until=_text(answer["valid_until"]),
            approval_id=answer.get("approval_id"),
            approval_handle=answer.get("approval_handle"),
            repeated=answer.get("repeated") is True,
            recorded=Recorded(_text(recorded["ref"]), _text(recorded["durability"])),
            receipt=None if answer.get("receipt") is None else _text(answer["receipt"]),
            answer=answer,
        )
        if decision.verdict in ("allow", "block", "escalate") and isinstance(obligations, list):
            return decision
    except (KeyError, TypeError):
        pass
    raise Unavailable("client.unexpected_answer", "The answer is not a decision.", "Is this the address of Countersign?")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
