"""Looks at an exported audit log as anybody could: prints the digest at the end of the chain."""
import hashlib
import json
import sys

FIELDS = ["previous", "seq", "at", "actor_kind", "actor", "address", "request", "action", "subject_kind",
          "subject", "before", "after"]
last = ""
for number, text in enumerate(sys.stdin, 1):
    line = json.loads(text)
    assert line["seq"] == number and line["previous"] == last, f"line {number} does not follow"
    fields = json.dumps([line[field] for field in FIELDS], separators=(",", ":"), ensure_ascii=False)
    last = hashlib.sha256(fields.encode()).hexdigest()
    assert last == line["hash"], f"line {number} is not as it was written"
print(last)
