/** What came from what. */

import { expect, test } from "vitest";
import type { Kept } from "../src/keep/database";
import { begunWith, changes, treesOf, type Branch } from "../src/tree";
import { DEFAULTS } from "../src/wish";

const kept = (id: string, created: number, from = "", wish = {}): Kept => ({
  id, created, from, state: "done", favourite: false, wish: { ...DEFAULTS, ...wish }, images: [{ seed: 1, structure: 1 }],
  seconds: 1, warnings: [], versions: {}, error: "",
});
const shape = ({ kept, after }: Branch): unknown => [kept.id, ...after.map(shape)];

test("the newest tree comes first, and what was made from a render in the order of time", () => {
  const renders = [kept("e", 5), kept("d", 4, "a"), kept("c", 3, "b"), kept("b", 2, "a"), kept("a", 1)];
  expect(treesOf(renders).map(shape)).toEqual([["e"], ["a", ["b", ["c"]], ["d"]]]);
});

test("a render whose origin is deleted or not older stands by itself", () => {
  const renders = [kept("c", 3, "gone"), kept("b", 2, "b"), kept("a", 1, "c")];
  expect(treesOf(renders).map(shape)).toEqual([["c"], ["b"], ["a"]]);
});

test("what was asked for otherwise is named", () => {
  const before = kept("a", 1);
  expect(changes(kept("b", 2, "a", { prompt: "a house", width: 256 }), before)).toEqual(["sentenceShort", "size"]);
  expect(changes({ ...before, images: [{ seed: 2, structure: 1 }] }, before)).toEqual(["seed"]);
});

test("fields without a word of their own are named as they are", () => {
  expect(changes(kept("b", 2, "a", { guidance_end: 0.5 }), kept("a", 1))).toEqual(["guidance_end"]);
});

test("a render says whether it was repainted, extended or gone on from", () => {
  const image = new Blob(["x"]);
  const of = (wish: object) => begunWith(kept("a", 1, "", wish));
  expect([of({}), of({ image }), of({ image, mask: image }), of({ image, pad: [0, 8, 0, 0] })]).toEqual([
    undefined, "base", "repainted", "extended",
  ]);
  expect(of({ image, upscale: 2, strength: null })).toBe("enlarged");
});
