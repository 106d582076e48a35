"""What can go wrong, as classes to catch. Each carries a stable code, a message and what would help."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping, Optional

if TYPE_CHECKING:
    from .client import Decision


class CountersignError(Exception):
    """The common base. Codes ``client.*`` are the SDK's own; all others are Countersign's."""

    def __init__(self, code: str, message: str, help: str = "", decision: Optional[Decision] = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.help = help
        #: The recorded decision behind it; None where nothing was judged.
        self.decision = decision
        self.decision_id = None if decision is None else decision.decision_id


class Blocked(CountersignError):
    """The call must not run, and repeating it as it is will not help."""


class Held(CountersignError):
    """A person has to approve the call first. It must not run now."""

    #: What ``Client.wait`` asks again for: the arguments of ``Client.call``.
    call: Mapping[str, Any]

    @property
    def approval_id(self) -> Optional[str]:
        return None if self.decision is None else self.decision.approval_id


class Expired(CountersignError):
    """The capability (``capability.expired``) or the identity (``identity.expired``) has expired: get a new one."""


class Unavailable(CountersignError):
    """Nobody could judge the call, or the answer did not arrive. It must not run; it may be asked again later."""

    #: Seconds to wait; None when nobody said.
    retry_after: Optional[int] = None


class Rejected(CountersignError):
    """The admin API refused: wrong terms, or not for this operator."""


class MalformedCapability(CountersignError):
    """A text that is no capability, or caveats that make none."""

    def __init__(self, message: str, code: str = "capability.malformed") -> None:
        super().__init__(code, message)
