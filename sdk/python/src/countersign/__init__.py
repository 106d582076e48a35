"""Ask Countersign before a tool call runs; narrow capabilities offline."""

from ._caveats import Caveat
from .admin import Admin, Minted
from .capability import Inspection, attenuate, inspect
from .client import Client, Decision, Reason, Recorded
from .errors import Blocked, CountersignError, Expired, Held, MalformedCapability, Rejected, Unavailable

__all__ = [
    "Admin",
    "Blocked",
    "Caveat",
    "Client",
    "CountersignError",
    "Decision",
    "Expired",
    "Held",
    "Inspection",
    "MalformedCapability",
    "Minted",
    "Reason",
    "Recorded",
    "Rejected",
    "Unavailable",
    "attenuate",
    "inspect",
]
