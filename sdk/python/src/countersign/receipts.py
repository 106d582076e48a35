"""For tool servers: refuses every call that does not bring a receipt of Countersign for exactly this call.

Fresh and never used before: whoever holds the server's address and credential still gets nothing past the decision.
Needs the extra ``countersign[receipts]``.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
import urllib.request
from dataclasses import dataclass
from typing import Any, Awaitable, Callable, Dict, Iterable, List, Mapping, Optional, Union

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ._canonical import canonical
from ._receipt import base64url, read_receipt, sha256

#: Header with the receipt of a call.
RECEIPT_HEADER = "countersign-receipt"
#: The same in MCP's ``_meta``.
RECEIPT_META = "countersign/receipt"

_MESSAGES = {
    "receipt.missing": "Calls come through Countersign; this one brings no receipt.",
    "receipt.malformed": "This is no receipt.",
    "receipt.other_call": "The receipt is for another call.",
    "receipt.not_allowed": "The receipt says that the call may not run.",
    "receipt.expired": "The receipt has expired.",
    "receipt.not_yet": "The receipt is from the future; one of the clocks is wrong.",
    "receipt.unknown_key": "No worker that is known has signed this receipt.",
    "receipt.signature": "The signature of the receipt is wrong.",
    "receipt.used": "The receipt was used before.",
    "receipt.unavailable": "Receipts cannot be checked now; nothing runs.",
}


class ReceiptRefused(Exception):
    """A call that must not run. ``code`` is stable."""

    def __init__(self, code: str) -> None:
        super().__init__(_MESSAGES[code])
        self.code = code


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class MemoryNonces:
    """Which receipts this process has seen used: right for one replica only.

    Several replicas of one server MUST share a store with the same ``use``, such as ``SET key 1 NX PX`` in Redis; a
    nonce need not be kept after ``exp``. Whatever it raises refuses the call. This one refuses receipts from before its
    own start, because it cannot know whether an earlier process saw them, and everything once it is full.
    """

    def __init__(self, max_used: int = 1_000_000) -> None:
        self._used: Dict[str, int] = {}
        self._max_used = max_used
        self._started_at = _now_ms()
        self._lock = threading.Lock()

    def use(self, nonce: str, at: int, exp: int) -> bool:
        """True for the first use of this nonce; times in milliseconds UTC."""
        now = _now_ms()
        with self._lock:
            while self._used:
                oldest = next(iter(self._used))
                if self._used[oldest] > now:
                    break
                del self._used[oldest]
            if at < self._started_at or nonce in self._used or len(self._used) >= self._max_used:
                return False
            self._used[nonce] = exp
            return True


#: A JSON Web Key Set, or its address: ``/.well-known/countersign/jwks.json`` of admin (or of the ingress).
KeySource = Union[str, Mapping[str, Any]]

# Fetched again after this; again for an unknown key at once, then less and less often.
_FRESH_S = 300.0
_RETRY_S_MIN = 0.25
_RETRY_S_MAX = 5.0
_TIMEOUT_S = 5.0
_SET_BYTES_MAX = 1_048_576


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirects)


class _Keys:
    """The workers' public keys: given, or fetched and kept."""

    def __init__(self, source: KeySource) -> None:
        self._url = source if isinstance(source, str) else None
        self._keys = None if isinstance(source, str) else _keys_in(source)
        self._fresh_until = 0.0
        self._retry_at = 0.0
        self._retry_s = _RETRY_S_MIN
        self._lock = threading.Lock()

    def find(self, key_id: str) -> Optional[Ed25519PublicKey]:
        """None for a key that is not known. Raises when no keys are known and none can be fetched."""
        if self._url is None:
            return (self._keys or {}).get(key_id)
        with self._lock:
            known = (self._keys or {}).get(key_id)
            now = time.monotonic()
            if known is not None and now < self._fresh_until:
                self._retry_s = _RETRY_S_MIN
                return known
            if now >= self._retry_at:
                self._fetch(self._url, known is not None)
            if self._keys is None:
                raise OSError("no keys were fetched")
            return self._keys.get(key_id)

    def _fetch(self, url: str, may_fail: bool) -> None:
        self._retry_at = time.monotonic() + self._retry_s
        self._retry_s = min(self._retry_s * 2, _RETRY_S_MAX)
        try:
            with _OPENER.open(url, timeout=_TIMEOUT_S) as response:
                self._keys = _keys_in(json.loads(response.read(_SET_BYTES_MAX)))
            self._fresh_until = time.monotonic() + _FRESH_S
        except (OSError, ValueError):
            if not may_fail:
                raise


def _keys_in(key_set: Any) -> Dict[str, Ed25519PublicKey]:
    listed = key_set.get("keys") if isinstance(key_set, Mapping) else None
    keys: Dict[str, Ed25519PublicKey] = {}
    for jwk in listed if isinstance(listed, list) else []:
        x = jwk.get("x") if isinstance(jwk, Mapping) and jwk.get("crv") == "Ed25519" else None
        content = base64url(x) if isinstance(x, str) and jwk.get("kid") == x else None
        if isinstance(x, str) and content is not None and len(content) == 32:
            keys[x] = Ed25519PublicKey.from_public_bytes(content)
    return keys


class ReceiptGuard:
    """Lets a call run once, on its receipt. May be shared by threads."""

    def __init__(
        self,
        *,
        upstream: str,
        tenants: Iterable[str],
        keys: KeySource,
        nonces: Optional[Any] = None,
        skew_ms: int = 5_000,
    ) -> None:
        """``upstream`` is the name that this server is registered under, ``tenants`` are those that may call here.

        ``nonces`` has ``use(nonce, at, exp)`` as MemoryNonces, the default. ``skew_ms``: by how much the decision's
        clock may be ahead of this one.
        """
        self._upstream = upstream
        self._tenants = frozenset(tenants)
        self._keys = _Keys(keys)
        self._nonces = MemoryNonces() if nonces is None else nonces
        self._skew_ms = skew_ms

    def check(self, receipt: Optional[str], tool: str, arguments: Any) -> Mapping[str, Any]:
        """What the receipt says, once; a second time it is used. Raises ReceiptRefused."""
        if not receipt:
            raise ReceiptRefused("receipt.missing")
        read = read_receipt(receipt)
        if read is None:
            raise ReceiptRefused("receipt.malformed")
        statement = read.statement
        self._compare(statement, tool, arguments)
        try:
            key = self._keys.find(statement["key"])
        except Exception as cause:
            raise ReceiptRefused("receipt.unavailable") from cause
        if key is None:
            raise ReceiptRefused("receipt.unknown_key")
        try:
            key.verify(read.signature, read.signed)
        except InvalidSignature as cause:
            raise ReceiptRefused("receipt.signature") from cause
        try:
            first = self._nonces.use(statement["nonce"], statement["at"], statement["exp"])
        except Exception as cause:
            raise ReceiptRefused("receipt.unavailable") from cause
        if first is not True:
            raise ReceiptRefused("receipt.used")
        return statement

    def _compare(self, statement: Mapping[str, Any], tool: str, arguments: Any) -> None:
        same = (
            statement["upstream"] == self._upstream
            and statement["tenant"] in self._tenants
            and statement["tool"] == tool
            and statement["args_hash"] == _hash(arguments)
        )
        if not same:
            raise ReceiptRefused("receipt.other_call")
        if statement["verdict"] != "allow":
            raise ReceiptRefused("receipt.not_allowed")
        now = _now_ms()
        if now > statement["exp"]:
            raise ReceiptRefused("receipt.expired")
        if statement["at"] > now + self._skew_ms:
            raise ReceiptRefused("receipt.not_yet")


def _hash(arguments: Any) -> str:
    """Empty for arguments that have no canonical form: they match no receipt."""
    try:
        return sha256(canonical(arguments))
    except (ValueError, RecursionError):
        return ""


@dataclass(frozen=True)
class GuardedCall:
    """What is about to run. Everything that the server acts on MUST be in it."""

    tool: str
    arguments: Any


Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Dict[str, Any]]]
Send = Callable[[Dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_BODY_BYTES_MAX = 4 * 1024 * 1024


def guard_mcp(guard: ReceiptGuard, app: App) -> App:
    """An MCP server (Streamable HTTP, ASGI) behind a guard.

    Only what is no call passes without a receipt: opening a session, ping, discovery, tools/list, notifications and
    answers to the server's own requests.
    """

    def check(scope: Scope, body: Any) -> None:
        call = _call_in(body) if scope["method"] == "POST" else None
        if call is not None:
            guard.check(_receipt(scope) or _receipt_in_meta(body), call.tool, call.arguments)

    return _guarded(app, check)


def guard_http(guard: ReceiptGuard, call_of: Callable[[Scope, Any], GuardedCall], app: App) -> App:
    """A plain HTTP tool (ASGI) behind a guard.

    ``call_of`` gives the call in a request, from its scope and its parsed JSON body (None without one).
    """

    def check(scope: Scope, body: Any) -> None:
        call = call_of(scope, body)
        guard.check(_receipt(scope), call.tool, call.arguments)

    return _guarded(app, check)


_FREE = frozenset(("initialize", "ping", "server/discover", "tools/list"))


def _call_in(body: Any) -> Optional[GuardedCall]:
    """The call in a message of MCP as Countersign judges it, None for a message that is none. Raises ReceiptRefused."""
    params = body.get("params", {}) if isinstance(body, dict) else None
    if not isinstance(params, dict):
        raise ReceiptRefused("receipt.missing")
    if "method" not in body:
        return None  # an answer to a request of the server
    method = body["method"]
    if not isinstance(method, str):
        raise ReceiptRefused("receipt.missing")
    if method in _FREE or (method.startswith("notifications/") and "id" not in body):
        return None
    if method != "tools/call":
        return GuardedCall(f"mcp:{method}", {name: value for name, value in params.items() if name != "_meta"})
    name = params.get("name")
    return GuardedCall(name if isinstance(name, str) else "", params.get("arguments", {}))


def _receipt(scope: Scope) -> Optional[str]:
    found = [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"countersign-receipt"]
    return found[0] if len(found) == 1 else None


def _receipt_in_meta(body: Any) -> Optional[str]:
    meta = body.get("params", {}).get("_meta")
    receipt = meta.get(RECEIPT_META) if isinstance(meta, dict) else None
    return receipt if isinstance(receipt, str) else None


_FRAMING = (b"content-length", b"transfer-encoding")


def _guarded(app: App, check: Callable[[Scope, Any], None]) -> App:
    """What was checked is what runs: the app reads the value that was parsed here, never the bytes as they came."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                return await app(scope, receive, send)
            raise RuntimeError("only HTTP is guarded")
        body: Any = None
        try:
            body, content = await _read(receive)
            await asyncio.to_thread(check, scope, body)
        except ReceiptRefused as refused:
            return await _refuse(send, body, refused)
        headers = [(name, value) for name, value in scope["headers"] if name.lower() not in _FRAMING]
        if content:
            headers.append((b"content-length", str(len(content)).encode("ascii")))
        await app({**scope, "headers": headers}, _replay(content, receive), send)

    return guarded


async def _read(receive: Receive) -> Any:
    chunks: List[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ReceiptRefused("receipt.missing")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        more = message.get("more_body", False)
        if size > _BODY_BYTES_MAX:
            raise ReceiptRefused("receipt.malformed")
    if size == 0:
        return None, b""
    try:
        body = json.loads(b"".join(chunks))
        return body, json.dumps(body, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError) as cause:
        raise ReceiptRefused("receipt.malformed") from cause


def _replay(content: bytes, receive: Receive) -> Receive:
    sent = False

    async def replay() -> Dict[str, Any]:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": content, "more_body": False}

    return replay


async def _refuse(send: Send, body: Any, refused: ReceiptRefused) -> None:
    """403 (503 where nothing could be checked), as JSON-RPC where the request was."""
    status = 503 if refused.code == "receipt.unavailable" else 403
    error: Dict[str, Any] = {"code": refused.code, "message": str(refused)}
    answer: Dict[str, Any] = {"error": error}
    if isinstance(body, dict) and body.get("jsonrpc") == "2.0":
        error = {"code": -32001, "message": str(refused), "data": {"code": refused.code}}
        answer = {"jsonrpc": "2.0", "id": body.get("id"), "error": error}
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode("utf-8")})
