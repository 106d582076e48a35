"""An operator mints a capability for one tool; an agent uses it at once."""

import os
from pathlib import Path

from countersign import Admin, Client, Rejected


def file(name, otherwise):
    return Path(os.environ.get(name, otherwise)).read_text()


admin = Admin(
    os.environ["COUNTERSIGN_ADMIN_URL"],
    token=file("COUNTERSIGN_OPERATOR_TOKEN_FILE", ".countersign/secrets/operators/ada.token"),
    tenant="demo",
)

minted = admin.mint("shop-agent", tools=["lookup_*"], expires_in=900)
print(f"minted for {minted.agent}")

client = Client(
    os.environ["COUNTERSIGN_URL"],
    identity=file("COUNTERSIGN_IDENTITY_FILE", ".countersign/secrets/demo-identity.jwt"),
    capability=minted.capability,
)
decision = client.call("lookup_order", {"order_id": "ord_1001"}, min_revision=minted.revision)
print(f"lookup_order: {decision.verdict}")

try:
    admin.mint("nobody")
except Rejected as error:
    print(f"no such agent: {error.code}")
