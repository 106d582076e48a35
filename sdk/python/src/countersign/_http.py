"""One JSON request and its answer: no retries, no redirects (they would carry credentials away), one time-out."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Optional, Tuple, Type, Union
from urllib.parse import urlsplit

from .errors import CountersignError, Expired, Unavailable

TIMEOUT_DEFAULT = 10.0
_USER_AGENT = "countersign-sdk-python/0.1.0"
_CHUNK = 65_536

#: A token, or what gives a fresh one before each request.
Token = Union[str, Callable[[], str]]


def text_of(token: Token) -> str:
    return (token if isinstance(token, str) else token()).strip()


@dataclass(frozen=True)
class Address:
    secure: bool
    host: str
    port: Optional[int]
    path: str

    @staticmethod
    def parse(base_url: str) -> Address:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("the base address begins with http:// or https:// and names a host")
        return Address(parts.scheme == "https", parts.hostname, parts.port, parts.path.rstrip("/"))

    def connect(self, timeout: float) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self.secure else http.client.HTTPConnection
        return kind(self.host, self.port, timeout=timeout)


def send(
    address: Address,
    path: str,
    headers: Mapping[str, str],
    body: Optional[Mapping[str, Any]],
    timeout: float,
    refused: Type[CountersignError],
) -> Mapping[str, Any]:
    """The answer to a POST, or without a body to a GET, that was accepted.

    What was not is raised: as Expired or Unavailable where it means that, else as ``refused``.
    """
    status, retry_after, text = _exchange(address, path, headers, body, timeout)
    answer = _object(text)
    accepted = 200 <= status < 300
    if accepted and answer is not None:
        return answer
    code, message, help = _refusal(answer) or (
        "client.unexpected_answer",
        f"The answer was HTTP {status} and not as documented.",
        "Is this the address of Countersign?",
    )
    if code == "identity.expired":
        raise Expired(code, message, help)
    if accepted or status in (408, 429) or status >= 500:
        raise _unavailable(code, message, help, retry_after)
    raise refused(code, message, help)


def _exchange(
    address: Address, path: str, headers: Mapping[str, str], body: Optional[Mapping[str, Any]], timeout: float
) -> Tuple[int, str, bytes]:
    content = None
    if body is not None:
        content = json.dumps({name: value for name, value in body.items() if value is not None}, allow_nan=False)
    deadline = time.monotonic() + timeout
    connection = address.connect(timeout)
    try:
        connection.request(
            "GET" if content is None else "POST",
            address.path + path,
            None if content is None else content.encode("utf-8"),
            {"Content-Type": "application/json", "User-Agent": _USER_AGENT, **headers},
        )
        response = connection.getresponse()
        text = b""
        while chunk := response.read1(_CHUNK):
            text += chunk
            if time.monotonic() > deadline:
                raise TimeoutError
        return response.status, response.getheader("Retry-After", ""), text
    except (TimeoutError, socket.timeout) as cause:  # one class only since Python 3.10
        raise _unavailable("client.timeout", "No answer came in time.", _AGAIN) from cause
    except (OSError, http.client.HTTPException) as cause:
        raise _unavailable("client.unreachable", f"{address.host} does not answer.", _AGAIN) from cause
    finally:
        connection.close()


_AGAIN = "Try again in a moment; nothing was allowed."


def _unavailable(code: str, message: str, help: str, retry_after: str = "") -> Unavailable:
    error = Unavailable(code, message, help)
    error.retry_after = int(retry_after) if re.fullmatch("[0-9]{1,9}", retry_after) else None
    return error


def _object(text: bytes) -> Optional[Mapping[str, Any]]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _refusal(answer: Optional[Mapping[str, Any]]) -> Optional[Tuple[str, str, str]]:
    """The words of a refusal: the ingress says ``reason``, the admin API ``error``."""
    said = None if answer is None else answer.get("reason", answer.get("error"))
    if not isinstance(said, dict):
        return None
    code, message, help, path = (said.get(name) for name in ("code", "message", "help", "path"))
    if not isinstance(code, str) or not isinstance(message, str):
        return None
    where = f" (at {path})" if isinstance(path, str) and path else ""
    return code, message + where, help if isinstance(help, str) else ""
