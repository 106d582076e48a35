"""An MCP server of the official Python SDK behind the receipt guard: PORT, the address of the keys.

Prints one line of JSON for each request that it gets, and for each tool that ran.
"""

import json
import sys

import uvicorn
from countersign.receipts import RECEIPT_HEADER, ReceiptGuard, guard_mcp
from mcp.server import MCPServer

port, keys = int(sys.argv[1]), sys.argv[2]


def say(**what):
    print(json.dumps(what), flush=True)


server = MCPServer("guarded")


@server.tool()
def pay(amount: int, to: str) -> str:
    """Pays."""
    say(ran={"amount": amount, "to": to})
    return f"paid {amount} to {to}"


def noting(app):
    async def noted(scope, receive, send):
        if scope["type"] == "http":
            receipts = [value.decode() for name, value in scope["headers"] if name.decode() == RECEIPT_HEADER]
            say(receipt=receipts[0] if receipts else "")
        await app(scope, receive, send)

    return noted


guard = ReceiptGuard(upstream="guarded", tenants=["acme"], keys=keys)
app = noting(guard_mcp(guard, server.streamable_http_app(stateless_http=True, json_response=True)))
uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
