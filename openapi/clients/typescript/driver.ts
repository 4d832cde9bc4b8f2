// Raises an alert, waits until a phone rings, takes it, and prints what happened: with openapi-fetch and
// the types that openapi-typescript makes of openapi.json. RINGDOWN_URL and RINGDOWN_KEY say where, and who asks.

import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

declare const process: { env: Record<string, string | undefined>; exitCode?: number };


const client = createClient<paths>({
  baseUrl: process.env.RINGDOWN_URL,
  headers: { Authorization: `Bearer ${process.env.RINGDOWN_KEY}` },
});

function expected<T>(answer: { data?: T; error?: { detail: string } }): T {
  if (answer.data === undefined) throw new Error(answer.error?.detail ?? "nothing was answered");
  return answer.data;
}

async function main(): Promise<void> {
  const body = { summary: "Disk full on db-01", severity: "critical" };
  const raised = expected(await client.POST("/api/v2/alerts", { body }));
  const id = raised.incident_id;
  if (!id) throw new Error(`no incident: ${raised.outcome}`);
  const params = { path: { id } };

  const deadline = Date.now() + 60_000;
  for (;;) {
    const calls = expected(await client.GET("/api/v2/calls", { params: { query: { incident_id: id } } }));
    if (calls.items.some((call) => call.status === "ringing")) break;
    if (Date.now() > deadline) throw new Error("no phone rings");
    await new Promise<void>((done) => setTimeout(done, 100));
  }

  expected(await client.POST("/api/v2/incidents/{id}/acknowledge", { params }));
  const taken = expected(await client.GET("/api/v2/incidents/{id}", { params }));
  if (taken.state !== "acknowledged") throw new Error(`it is ${taken.state}`);
  const timeline = expected(await client.GET("/api/v2/incidents/{id}/timeline", { params }));
  console.log(JSON.stringify({ incident: id, timeline: timeline.items.map((line) => line.kind) }));
}

main().catch((error) => {
  console.error(String(error));
  process.exitCode = 1;
});
