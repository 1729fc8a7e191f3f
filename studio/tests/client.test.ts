/** The client against a small real server on this machine. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import * as api from "../src/api/client";
import { begin, follow } from "../src/api/events";

let server: Server;
let answer: (request: IncomingMessage, response: ServerResponse) => void;
const asked: IncomingMessage[] = [];

beforeEach(async () => {
  asked.length = 0;
  server = createServer((request, response) => {
    asked.push(request);
    request.resume().on("end", () => answer(request, response));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  Object.assign(globalThis, { document: { baseURI: `http://127.0.0.1:${port}/under/here/` } });
});

afterEach(() => new Promise((resolve) => server.close(resolve)));

const json = (response: ServerResponse, status: number, body: unknown, headers = {}) =>
  response.writeHead(status, { "Content-Type": "application/json", ...headers }).end(JSON.stringify(body));

test("calls stay under the page's own path, and say whose they are", async () => {
  answer = (_, response) => json(response, 200, { version: "1" });
  expect(await api.info()).toMatchObject({ version: "1" });
  await api.cancel("a/b");
  expect(asked.map(({ url }) => url)).toEqual(["/under/here/v1/info", "/under/here/v1/renders/a%2Fb/cancel"]);
  for (const { headers } of asked) expect(headers["x-maquette-studio"]).toBe("1");
});

test("paths that the gateway links to stay under it as well", () => {
  expect(new URL(api.at("/v1/renders/x/control_image")).pathname).toBe("/under/here/v1/renders/x/control_image");
});

test("every page of styles is read", async () => {
  answer = ({ url }, response) => {
    const second = url?.includes("page_token=next");
    json(response, 200, { styles: [{ id: second ? "b" : "a" }], next_page_token: second ? "" : "next" });
  };
  expect((await api.styles()).map(({ id }) => id)).toEqual(["a", "b"]);
});

test("an error is the gateway's own sentence", async () => {
  answer = (_, response) =>
    json(response, 429, { detail: "Too many. Wait.", field: "x" }, { "Retry-After": "3" });
  await expect(api.info()).rejects.toMatchObject({ message: "Too many. Wait.", status: 429, retryAfter: 3 });
  await expect(begin(new FormData(), "k").next()).rejects.toMatchObject({ message: "Too many. Wait." });
});

test("an answer that is no JSON is an error all the same", async () => {
  answer = (_, response) => response.writeHead(502, "Bad Gateway").end("<html>");
  await expect(api.call("v1/info")).rejects.toMatchObject({ message: "502 Bad Gateway", status: 502 });
});

test("events are read as they come, however they are cut", async () => {
  const stream = `: ping\n\nid: 0\nevent: accepted\ndata: {"id":"r"}\n\nid: 1\nevent: progress\ndata: {"step":1,"steps":4}\n\n`;
  answer = (_, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    for (const letter of stream) response.write(letter);
    response.end();
  };
  const events = await Array.fromAsync(follow("r", 5));
  expect(events).toEqual([
    { id: 0, name: "accepted", body: { id: "r" } },
    { id: 1, name: "progress", body: { step: 1, steps: 4 } },
  ]);
  expect(asked[0]?.headers["last-event-id"]).toBe("5");
});

test("a render that is sent twice has one key", async () => {
  answer = (_, response) => response.writeHead(200, { "Content-Type": "text/event-stream" }).end();
  await Array.fromAsync(begin(new FormData(), "studio-1"));
  expect(asked[0]?.headers["idempotency-key"]).toBe("studio-1");
});
