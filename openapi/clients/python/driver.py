"""Raises an alert, waits until a phone rings, takes it, and prints what happened: with the client that
openapi-python-client makes of openapi.json. RINGDOWN_URL and RINGDOWN_KEY say where, and who asks."""

import json
import os
import time
from uuid import UUID

from ringdown_client import AuthenticatedClient
from ringdown_client.api.alerts import raise_alert
from ringdown_client.api.calls import list_calls
from ringdown_client.api.incidents import acknowledge_incident, get_incident, get_incident_timeline
from ringdown_client.models import CallPage, CallStatus, Incident, IncidentState, NewAlert, Outcome, Timeline


def expect(kind, answer):
    if not isinstance(answer, kind):
        raise SystemExit(f"{kind.__name__} was expected: {answer}")
    return answer


client = AuthenticatedClient(base_url=os.environ["RINGDOWN_URL"], token=os.environ["RINGDOWN_KEY"])
with client:
    alert = NewAlert(summary="Disk full on db-01", severity="critical")
    raised = expect(Outcome, raise_alert.sync(client=client, body=alert))
    incident = UUID(raised.incident_id)

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        calls = expect(CallPage, list_calls.sync(client=client, incident_id=incident))
        if any(call.status == CallStatus.RINGING for call in calls.items):
            break
        time.sleep(0.1)
    else:
        raise SystemExit("no phone rings")

    expect(Incident, acknowledge_incident.sync(incident, client=client))
    taken = expect(Incident, get_incident.sync(incident, client=client))
    if taken.state != IncidentState.ACKNOWLEDGED:
        raise SystemExit(f"it is {taken.state}")
    timeline = expect(Timeline, get_incident_timeline.sync(incident, client=client))
    print(json.dumps({"incident": str(incident), "timeline": [line.kind for line in timeline.items]}))
