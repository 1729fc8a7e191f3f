/** What this browser keeps: every render with its pictures, the drawing, the settings. */

import { openDB, type DBSchema, type IDBPDatabase } from "idb";
import type { Wish } from "../wish";

export type State = "running" | "done" | "failed";

/** One render, without its pictures. */
export interface Kept {
  id: string;
  created: number;
  state: State;
  wish: Wish;
  favourite: boolean;
  /** What it belongs to, in the user's words. */
  project?: string;
  /** The render that was looked at when this one was asked for: what it came from. */
  from: string;
  style?: { id: string; name: string; score: number | null };
  images: {
    seed: number;
    structure: number;
    /** Cosines of the picture with the sentence and with the style; not known of older renders. */
    sentence?: number | null;
    style?: number | null;
  }[];
  seconds: number;
  warnings: string[];
  versions: Record<string, number>;
  /** The gateway's sentence, when it failed. */
  error: string;
  thumbnail?: Blob;
}

/** Which picture of a render: "sketch", "edges", or the number of an image. */
export type Which = "sketch" | "edges" | number;

interface Schema extends DBSchema {
  renders: { key: string; value: Kept; indexes: { created: number } };
  pictures: { key: string; value: Blob };
  things: { key: string; value: unknown };
}

let opened: Promise<IDBPDatabase<Schema>> | undefined;

function database(): Promise<IDBPDatabase<Schema>> {
  opened ??= openDB<Schema>("maquette-studio", 1, {
    upgrade(db) {
      db.createObjectStore("renders", { keyPath: "id" }).createIndex("created", "created");
      db.createObjectStore("pictures");
      db.createObjectStore("things");
    },
  });
  return opened;
}

const keyOf = (id: string, which: Which): string => `${id}/${which}`;

/** Every render, the newest first. */
export async function all(): Promise<Kept[]> {
  return (await (await database()).getAllFromIndex("renders", "created")).reverse();
}

/** Write a render and, at once, the pictures that came with it. */
export async function put(kept: Kept, pictures: [Which, Blob][] = []): Promise<void> {
  const transaction = (await database()).transaction(["renders", "pictures"], "readwrite");
  await Promise.all([
    transaction.objectStore("renders").put(kept),
    ...pictures.map(([which, blob]) =>
      transaction.objectStore("pictures").put(blob, keyOf(kept.id, which)),
    ),
    transaction.done,
  ]);
}

export const picture = async (id: string, which: Which): Promise<Blob | undefined> =>
  (await database()).get("pictures", keyOf(id, which));

/** Delete a render and its pictures. */
export async function remove(id: string): Promise<void> {
  const transaction = (await database()).transaction(["renders", "pictures"], "readwrite");
  const range = IDBKeyRange.bound(`${id}/`, `${id}/\uffff`);
  await Promise.all([
    transaction.objectStore("renders").delete(id),
    transaction.objectStore("pictures").delete(range),
    transaction.done,
  ]);
}

/** Keep one thing by name: the drawing, the settings. */
export const keep = async (name: string, thing: unknown): Promise<void> => {
  await (await database()).put("things", thing, name);
};

export const kept = async <T>(name: string): Promise<T | undefined> =>
  (await (await database()).get("things", name)) as T | undefined;

const MAX_TABS = 8;

/** This tab, which keeps its name when it is reloaded. */
function tab(): string {
  const known = sessionStorage.getItem("maquette-tab");
  if (known) return known;
  const made = crypto.getRandomValues(new Uint32Array(2)).join("-");
  sessionStorage.setItem("maquette-tab", made);
  return made;
}

/** Keep one thing of this tab; one that is opened later begins with the newest of all tabs. */
export async function keepHere(name: string, thing: unknown): Promise<void> {
  const transaction = (await database()).transaction("things", "readwrite");
  const own = `${name}/${tab()}`;
  const others = (await transaction.store.getAllKeys(IDBKeyRange.bound(`${name}/`, `${name}/\uffff`))).filter((key) => key !== own);
  await Promise.all([
    transaction.store.put(thing, name),
    transaction.store.put(thing, own),
    // In no order that means anything, but far more than anybody has open.
    ...others.slice(MAX_TABS).map((key) => transaction.store.delete(key)),
    transaction.done,
  ]);
}

export const keptHere = async <T>(name: string): Promise<T | undefined> =>
  (await kept<T>(`${name}/${tab()}`)) ?? (await kept<T>(name));
