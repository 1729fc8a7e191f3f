/** Server-sent events of one render, read with fetch, which EventSource cannot do for a POST. */

import { EventSourceParserStream } from "eventsource-parser/stream";
import { call, type Problem, type Progress, type RenderBody, type Scored } from "./client";

export type RenderEvent =
  | { id: number; name: "accepted"; body: { id: string } }
  | { id: number; name: "style"; body: Scored }
  | { id: number; name: "progress"; body: Progress }
  | { id: number; name: "result"; body: RenderBody }
  | { id: number; name: "error"; body: Problem };

const STREAM = { Accept: "text/event-stream" };

/** Begin a render, and follow it. The same `key` sent twice is rendered once. */
export async function* begin(form: FormData, key: string): AsyncGenerator<RenderEvent> {
  const headers = { ...STREAM, "Idempotency-Key": key };
  yield* read(await call("v1/renders", { method: "POST", body: form, headers }));
}

/** Follow the render `id` from after the event `last` on. */
export async function* follow(id: string, last: number): AsyncGenerator<RenderEvent> {
  const headers = last < 0 ? STREAM : { ...STREAM, "Last-Event-ID": String(last) };
  yield* read(await call(`v1/renders/${encodeURIComponent(id)}/events`, { headers }));
}

async function* read({ body }: Response): AsyncGenerator<RenderEvent> {
  if (!body) return;
  const events = body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
  const reader = events.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield { id: Number(value.id), name: value.event, body: JSON.parse(value.data) } as RenderEvent;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
