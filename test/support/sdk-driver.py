"""Does with the Python SDK what each line on standard input asks, and answers each with one line of JSON."""

import json
import sys

from countersign import Client, CountersignError, Held, Unavailable, attenuate, inspect


def do(op, **given):
    if op == "attenuate":
        return attenuate(given["token"], **given["narrowing"])
    if op == "inspect":
        return vars(inspect(given["token"]))
    client = Client(given["url"], given.get("identity", "identity"), timeout=given["timeout"])
    try:
        return client.call(given.get("tool", "tool"), given.get("arguments", {"amount": 1})).decision_id
    except Held as held:
        if "wait" not in given:
            raise
        return client.wait(held, timeout=given["wait"]).decision_id


for line in sys.stdin:
    try:
        answer = {"result": do(**json.loads(line))}
    except CountersignError as error:
        answer = {"error": type(error).__name__, "code": error.code, "decision": error.decision_id}
        if isinstance(error, Unavailable):
            answer["retry_after"] = error.retry_after
    print(json.dumps(answer), flush=True)
