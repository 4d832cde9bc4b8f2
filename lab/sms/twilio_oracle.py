"""Does with Twilio's published library what ringdown does by itself.

`validate`: reads requests from lines of its input, and writes whether the library takes each for Twilio's, with
the signature that it computes. `client URL ACCOUNT TOKEN FROM TO`: uses the API at URL as it uses Twilio's.
"""

import json
import sys

from twilio.base.exceptions import TwilioRestException
from twilio.request_validator import RequestValidator
from twilio.rest import Client


class Fields:
    """A form, which may have a name twice, as Flask shows it."""

    def __init__(self, fields):
        self.fields = fields

    def __iter__(self):
        return (name for name, _ in self.fields)

    def __len__(self):
        return len(self.fields)

    def getall(self, name):
        return [value for own, value in self.fields if own == name]


def validate():
    for line in sys.stdin:
        request = json.loads(line)
        validator = RequestValidator(request["token"])
        fields = Fields(request["fields"])
        content = fields if request["body"] is None else request["body"]
        algorithm = request["algorithm"]
        computed = validator.compute_signature(request["url"], None if content is request["body"] else fields, algorithm)
        valid = validator.validate(request["url"], content, request["signature"], algorithm)
        print(json.dumps({"valid": valid, "computed": computed}))


def shown(message):
    return {
        "sid": message.sid,
        "body": message.body,
        "to": message.to,
        "from": message.from_,
        "status": message.status,
        "direction": message.direction,
        "segments": message.num_segments,
        "created": message.date_created.timestamp(),
        "error": message.error_code,
    }


def client(url, account, token, sender, to):
    twilio = Client(account, token)
    twilio.api.base_url = url
    for body in ["one", "two 😀 & = + %", "x" * 400, "four", "five"]:
        sent = twilio.messages.create(to=to, from_=sender, body=body, status_callback="http://127.0.0.1:1/x?y=z")
        print(json.dumps(shown(sent)))
    print(json.dumps(shown(twilio.messages(sent.sid).fetch())))
    for message in twilio.messages.list(to=to, page_size=2):
        print(json.dumps(shown(message)))
    for wrong in [{"to": "12", "body": "x"}, {"to": to, "body": ""}, {"to": to, "body": "x" * 1601}]:
        try:
            twilio.messages.create(from_=sender, **wrong)
        except TwilioRestException as refused:
            print(json.dumps({"code": refused.code, "status": refused.status}))
    wrong = Client(account, "another")
    wrong.api.base_url = url
    try:
        wrong.messages(sent.sid).fetch()
    except TwilioRestException as refused:
        print(json.dumps({"code": refused.code, "status": refused.status}))


if sys.argv[1] == "validate":
    validate()
else:
    client(*sys.argv[2:])
