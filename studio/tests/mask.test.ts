import { expect, test } from "vitest";
import { PAINTED, type Mask, blank, brush, copyOf, inverted, shareOf, withBox } from "../src/draw/mask";

const drawn = ({ width, data }: Mask): string[] =>
  Array.from({ length: data.length / width }, (_, row) =>
    Array.from(data.subarray(row * width, (row + 1) * width), (value) => (value ? "#" : ".")).join(""),
  );

test("a brush covers every pixel whose middle is under it, and none by half", () => {
  const mask = blank({ width: 7, height: 5 });
  brush(mask, [3.5, 2.5], [3.5, 2.5], 1.5, false);
  expect(drawn(mask)).toEqual([".......", "..###..", "..###..", "..###..", "......."]);
  expect(new Set(mask.data)).toEqual(new Set([0, PAINTED]));
});

test("a stroke has no gaps, however far its points are apart", () => {
  const mask = blank({ width: 64, height: 64 });
  brush(mask, [2, 2], [62, 62], 2, false);
  for (let n = 2; n < 62; n++) expect(mask.data[n * 64 + n]).toBe(PAINTED);
  expect(mask.data[63]).toBe(0);
});

test("what is outside the picture is cut off", () => {
  const mask = blank({ width: 4, height: 2 });
  brush(mask, [-9, 1], [0.5, 1], 1, false);
  expect(drawn(mask)).toEqual(["#...", "#..."]);
  brush(mask, [40, 40], [50, 50], 3, false);
  expect(shareOf(mask)).toBe(0.25);
});

test("an eraser takes away what was painted, and leaves what was before", () => {
  const before = withBox(blank({ width: 4, height: 2 }), { left: 0, top: 0, width: 4, height: 2 }, false);
  const after = copyOf(before);
  brush(after, [1, 1], [1, 1], 1, true);
  expect(drawn(after)).toEqual(["..##", "..##"]);
  expect(shareOf(before)).toBe(1);
});

test("a rectangle by numbers is painted as far as it is inside", () => {
  const mask = withBox(blank({ width: 5, height: 3 }), { left: 3, top: -1, width: 9, height: 3 }, false);
  expect(drawn(mask)).toEqual(["...##", "...##", "....."]);
  expect(drawn(withBox(mask, { left: 4, top: 0, width: 1, height: 1 }, true))).toEqual(["...#.", "...##", "....."]);
  expect(withBox(mask, { left: 9, top: 0, width: 4, height: 2 }, false)).toEqual(mask);
});

test("what is inverted twice is as it was", () => {
  const mask = withBox(blank({ width: 3, height: 1 }), { left: 0, top: 0, width: 1, height: 1 }, false);
  expect(drawn(inverted(mask))).toEqual([".##"]);
  expect(inverted(inverted(mask))).toEqual(mask);
});
