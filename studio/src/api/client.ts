/** The gateway's API, by the paths and shapes of its OpenAPI document. */

import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

type Schemas = components["schemas"];
export type Info = Schemas["InfoBody"];
export type Style = Schemas["StyleBody"];
export type Scored = Schemas["Scored"];
export type RenderBody = Schemas["RenderBody"];
export type Progress = Schemas["ProgressBody"];
export type Problem = Schemas["Problem"];

/** Styles that a search finds at most. */
const FOUND = 24;
/** Says that the studio calls, which no form and no other origin can. */
const OWN = { "X-Maquette-Studio": "1" };

/** The gateway's own sentence about what went wrong. */
export class ApiError extends Error {
  constructor(
    sentence: string,
    readonly status: number,
    readonly field: string = "",
    readonly retryAfter: number = 0,
  ) {
    super(sentence);
  }
}

/** `path` of the gateway as the page reaches it, be it under a proxy's own path. */
export const at = (path: string): string =>
  new URL(path.replace(/^\//, ""), document.baseURI).href;

export function problemOf(problem: Partial<Problem> | undefined, response: Response): ApiError {
  const sentence = problem?.detail ?? `${response.status} ${response.statusText}`;
  const seconds = Number(response.headers.get("retry-after")) || 0;
  return new ApiError(sentence, response.status, problem?.field ?? "", seconds);
}

/** `fetch` of `path`, whose failures are raised. */
export async function call(path: string, init: RequestInit = {}): Promise<Response> {
  const response = await fetch(at(path), { ...init, headers: { ...OWN, ...init.headers } });
  if (!response.ok) throw problemOf(await response.json().catch(() => undefined), response);
  return response;
}

const client = () => createClient<paths>({ baseUrl: at("").replace(/\/$/, ""), headers: OWN });

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

function bodyOf<T>({ data, error, response }: Answer<T>): T {
  if (data === undefined) throw problemOf(error as Problem, response);
  return data;
}

export const info = async (): Promise<Info> => bodyOf(await client().GET("/v1/info"));

/** Every style, in the order of ids. */
export async function styles(): Promise<Style[]> {
  const found: Style[] = [];
  let page_token = "";
  do {
    const query = { page_size: 100, page_token };
    const page = bodyOf(await client().GET("/v1/styles", { params: { query } }));
    found.push(...page.styles);
    page_token = page.next_page_token;
  } while (page_token);
  return found;
}

/** The stored picture of `style`. */
export const stylePicture = async ({ id }: Style): Promise<Blob> =>
  (await call(`v1/styles/${encodeURIComponent(id)}/image`)).blob();

export async function addStyle(name: string, tags: string[], image: Blob, replace = false): Promise<Style> {
  const form = new FormData();
  form.set("image", image, "style");
  form.set("name", name);
  for (const tag of tags) form.append("tags", tag);
  form.set("replace", String(replace));
  return (await call("v1/styles", { method: "POST", body: form })).json() as Promise<Style>;
}

export const removeStyle = (id: string): Promise<Response> =>
  call(`v1/styles/${encodeURIComponent(id)}`, { method: "DELETE" });

export interface Versions {
  overview: Schemas["Overview"];
  history: Schemas["Page"];
}

/** The versions of every model, and what was done with them last. */
export async function versions(): Promise<Versions> {
  const [overview, history] = await Promise.all([
    client().GET("/v1/versions"),
    client().GET("/v1/versions/history", { params: { query: { page_size: 50 } } }),
  ]);
  return { overview: bodyOf(overview), history: bodyOf(history) };
}

export type Outcome = Schemas["Outcome"];

/** Change versions: `path` is below /v1/versions, and `body` what it takes. */
export async function changeVersions(path: string, body: object): Promise<Outcome> {
  const headers = { "Content-Type": "application/json" };
  return (await call(`v1/versions/${path}`, { method: "POST", headers, body: JSON.stringify(body) })).json() as Promise<Outcome>;
}

/** The styles nearest to a sentence, nearest first. */
export async function search(q: string, signal: AbortSignal): Promise<Style[]> {
  const params = { query: { q, limit: FOUND } };
  return stylesOf(bodyOf(await client().GET("/v1/styles/search", { params, signal })));
}

/** The styles nearest to another one, nearest first. */
export async function similar(id: string): Promise<Style[]> {
  const params = { path: { id }, query: { limit: FOUND } };
  return stylesOf(bodyOf(await client().GET("/v1/styles/{id}/similar", { params })));
}

const stylesOf = ({ styles }: Schemas["Found"]): Style[] => styles.map(({ style }) => style);

/** How many renders wait before the render `id`; null when it does not wait. */
export async function ahead(id: string): Promise<number | null> {
  const body = bodyOf(await client().GET("/v1/renders/{id}", { params: { path: { id } } }));
  return body.ahead ?? null;
}

export const cancel = (id: string): Promise<Response> =>
  call(`v1/renders/${encodeURIComponent(id)}/cancel`, { method: "POST" });

/** Exchange a key for a session; the key is not kept here. */
export const signIn = (key: string): Promise<Response> =>
  call("session", { method: "POST", headers: { "X-API-Key": key } });

export const signOut = (): Promise<Response> => call("session", { method: "DELETE" });

export const isSignedIn = async (): Promise<boolean> =>
  ((await (await call("session")).json()) as { signed_in: boolean }).signed_in;
