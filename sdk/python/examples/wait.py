"""A call that a person has to approve: held first, and run once they said yes.

Approve it meanwhile, as somebody else: ./countersign approvals approve APPROVAL_ID --as grace
"""

import os
import sys
from pathlib import Path

from countersign import Blocked, Client, Held


def file(name, otherwise):
    return Path(os.environ.get(name, otherwise)).read_text()


client = Client(
    os.environ["COUNTERSIGN_URL"],
    file("COUNTERSIGN_IDENTITY_FILE", ".countersign/secrets/demo-identity.jwt"),
    file("COUNTERSIGN_CAPABILITY_FILE", ".countersign/secrets/demo-capability.token"),
)
refund = {"order_id": "ord_1002", "amount": float(sys.argv[1]) if len(sys.argv) > 1 else 430}

try:
    try:
        decision = client.call("refund_order", refund)
    except Held as held:
        print("held:", held.approval_id, flush=True)
        decision = client.wait(held, timeout=600)
    print("refund_order:", decision.verdict)
except Blocked as error:
    print("refund_order:", error.code)
