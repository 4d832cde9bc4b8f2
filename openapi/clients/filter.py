"""filter.py IN OUT [--common-bodies]: the document without what a new client has no use for: operations
tagged `Compat` (the routes of predecessors). With --common-bodies also without what takes anything but JSON
and forms (the imports of tables and calendars), which progenitor does not understand."""

import json
import sys

COMMON = {"application/json", "application/x-www-form-urlencoded"}

source, destination, *options = sys.argv[1:]
with open(source, encoding="utf-8") as file:
    document = json.load(file)


def is_wanted(operation):
    if "Compat" in operation.get("tags", []):
        return False
    return "--common-bodies" not in options or COMMON.issuperset(operation.get("requestBody", {}).get("content", {}))


for path, operations in list(document["paths"].items()):
    document["paths"][path] = {method: operation for method, operation in operations.items() if is_wanted(operation)}
    if not document["paths"][path]:
        del document["paths"][path]
document["tags"] = [tag for tag in document.get("tags", []) if tag["name"] != "Compat"]
with open(destination, "w", encoding="utf-8") as file:
    json.dump(document, file, indent=2, ensure_ascii=False, sort_keys=True)
