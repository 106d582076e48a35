"""An agent's three calls: one runs, one is blocked, one waits for a person.

Needs COUNTERSIGN_URL; the identity and capability files are those of the demo unless named.
"""

import json
import os
from pathlib import Path

from countersign import Blocked, Client, Expired, Held, Unavailable


def file(name, otherwise):
    return Path(os.environ.get(name, otherwise)).read_text()


client = Client(
    os.environ["COUNTERSIGN_URL"],
    identity=file("COUNTERSIGN_IDENTITY_FILE", ".countersign/secrets/demo-identity.jwt"),
    capability=file("COUNTERSIGN_CAPABILITY_FILE", ".countersign/secrets/demo-capability.token"),
)

# Your tools.
tools = {"lookup_order": lambda order_id: {"order_id": order_id, "status": "shipped"}}


def run(tool, arguments):
    decision = client.call(tool, arguments, purpose="answer a customer")
    try:
        result = tools[tool](**arguments)
    except Exception as error:
        client.report(decision, "failed", error=str(error))
        raise
    client.report(decision, "executed", result=result)
    return json.dumps(result, separators=(",", ":"))


for tool, arguments in [
    ("lookup_order", {"order_id": "ord_1001"}),
    ("run_sql", {"database": "production", "query": "DROP TABLE orders"}),
    ("refund_order", {"order_id": "ord_1002", "amount": 450}),
]:
    try:
        print(f"{tool} ran: {run(tool, arguments)}")
    except Held as error:
        print(f"{tool} is held: {error.code}")
    except Blocked as error:
        print(f"{tool} is blocked: {error.code}")
    except Expired as error:
        print(f"{tool} needs a new token: {error.code}")
    except Unavailable as error:
        print(f"{tool} may be asked later: {error.code}")
