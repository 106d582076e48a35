"""Judges each receipt vector of a folder with the Python SDK and prints what comes of it, by name."""

import json
import sys
from pathlib import Path

from countersign import receipts

folder = Path(sys.argv[1])
guard = json.loads((folder / "guard.json").read_text("utf-8"))
now = guard.pop("now")
receipts._now_ms = lambda: now


def judge(vector):
    try:
        receipts.ReceiptGuard(**guard).check(vector["receipt"], vector["call"]["tool"], vector["call"]["arguments"])
        return "ok"
    except receipts.ReceiptRefused as refused:
        return refused.code


files = sorted(folder.glob("*valid/*.json"))
print(json.dumps({f"{file.parent.name}/{file.stem}": judge(json.loads(file.read_text("utf-8"))) for file in files}))
