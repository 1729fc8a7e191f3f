/** Settings in a link. */

import { expect, test } from "vitest";
import { linkOf, wishIn } from "../src/link";
import { DEFAULTS } from "../src/wish";

const hashOf = (link: string): string => new URL(link).hash;

test("a link brings back what it was made of", () => {
  const wish = { ...DEFAULTS, prompt: "a façade, 100 % #1", seed: 7, width: 768, style: "winter", scheduler: "lcm" };
  expect(wishIn(hashOf(linkOf(wish, "http://host/studio/")))).toEqual(wish);
});

test.each(["", "#", "#sheet", "#%", "#null", "#7", "#%7B"])("%s is no link", (hash) => {
  expect(wishIn(hash)).toBeUndefined();
});

test("what is of another kind, or no field, is left out", () => {
  const sent = { prompt: 7, seed: "1", style_images: ["x"], __proto__: { scheduler: "x" }, other: 1 };
  expect(wishIn(`#${encodeURIComponent(JSON.stringify(sent))}`)).toEqual(DEFAULTS);
});
