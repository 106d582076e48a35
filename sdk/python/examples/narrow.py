"""Gives a sub-agent less than we have: one tool, three calls, five minutes. No server is asked for that."""

import os
import time
from pathlib import Path

from countersign import Blocked, Client, Expired, attenuate, inspect


def file(name, otherwise):
    return Path(os.environ.get(name, otherwise)).read_text().strip()


url = os.environ["COUNTERSIGN_URL"]
identity = file("COUNTERSIGN_IDENTITY_FILE", ".countersign/secrets/demo-identity.jwt")
ours = file("COUNTERSIGN_CAPABILITY_FILE", ".countersign/secrets/demo-capability.token")

narrow = attenuate(ours, tools=["lookup_order"], calls=3, expires_in=300)
added = inspect(narrow).caveats[len(inspect(ours).caveats) :]
print("added:", ", ".join(caveat["t"] for caveat in added))

child = Client(url, identity, narrow)
print("lookup_order:", child.call("lookup_order", {"order_id": "ord_1001"}).verdict)

try:
    child.call("refund_order", {"order_id": "ord_1002", "amount": 20})
except Blocked as error:
    print("refund_order:", error.code)

late = Client(url, identity, attenuate(narrow, expires=int(time.time()) - 1))
try:
    late.call("lookup_order", {"order_id": "ord_1001"})
except Expired as error:
    print("too late:", error.code)
