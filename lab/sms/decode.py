"""Reads `submit HEX` and `deliver HEX` from lines of its input, and writes what smspdudecoder makes of each, as JSON."""

import json
import sys
from io import StringIO

from smspdudecoder.fields import SMSDeliver, SMSSubmit

for line in sys.stdin:
    kind, pdu = line.split()
    try:
        read = (SMSSubmit if kind == "submit" else SMSDeliver).decode(StringIO(pdu))
        print(json.dumps(read, default=str))
    except Exception as error:  # What it cannot read is an answer too.
        print(json.dumps({"error": repr(error)}))
