import { describe, expect, test } from "vitest";
import { outlineOf, snapped } from "../src/draw/geometry";
import { add, empty, fitted, isBlank, onSheet, sheetFor } from "../src/draw/model";
import { svgOf } from "../src/draw/paint";

const near = ([x, y]: readonly number[]) => [Math.round(x! * 10) / 10, Math.round(y! * 10) / 10];

describe("a straight line snaps", () => {
  test.each([
    ["to the level", [100, 4], [100, 0]],
    ["upright", [-3, -80], [0, -80]],
    ["to 45 degrees", [50, 54], [52, 52]],
    ["not in between", [100, 40], [100, 40]],
    ["to nothing without length", [0, 0], [0, 0]],
  ] as const)("%s", (_, to, wanted) => {
    expect(near(snapped([0, 0], to))).toEqual(wanted);
  });

  test("towards a vanishing point, and away from it", () => {
    const vanishing = [[200, 60]] as const;
    const [x, y] = snapped([0, 0], [100, 33], vanishing);
    expect(y / x).toBeCloseTo(0.3);
    const [ax, ay] = snapped([0, 0], [-100, -33], vanishing);
    expect(ay / ax).toBeCloseTo(0.3);
    expect(ax).toBeLessThan(0);
  });
});

describe("outlines", () => {
  const straight = { from: [10, 90, 0.5], to: [50, 10, 0.5], size: 6 } as const;

  test("of straight things are paths with a width", () => {
    expect(outlineOf({ kind: "line", ...straight })).toEqual({ d: "M10 90L50 10", lineWidth: 6 });
    expect(outlineOf({ kind: "rect", ...straight })?.d).toBe("M10 90H50V10H10Z");
  });

  test("an arch is half a circle over its sides, whichever corner it began at", () => {
    const arch = "M10 90V30A20 20 0 0 1 50 30V90Z";
    expect(outlineOf({ kind: "arch", ...straight })?.d).toBe(arch);
    const back = { ...straight, from: straight.to, to: straight.from };
    expect(outlineOf({ kind: "arch", ...back })?.d).toBe(arch);
  });

  test("a wide arch is flatter, and ends at its foot", () => {
    const wide = { kind: "arch", from: [0, 10, 0.5], to: [100, 0, 0.5], size: 6 } as const;
    expect(outlineOf(wide)?.d).toBe("M0 10V10A50 10 0 0 1 100 10V10Z");
  });

  test("a pen's pressure makes the line thicker", () => {
    const widest = (pressure: number) => {
      const points = [0, 20, 40, 60, 80].map((x) => [x, 0, pressure] as const);
      const { d } = outlineOf({ kind: "pen", points, size: 20, pressed: true })!;
      return Math.max(...d.match(/-?[\d.]+ (-?[\d.]+)/g)!.map((pair) => Number(pair.split(" ")[1])));
    };
    expect(widest(0.9)).toBeGreaterThan(widest(0.2) + 2);
  });

  test("a dot is something", () => {
    expect(outlineOf({ kind: "pen", points: [[5, 5, 0.5]], size: 6, pressed: false })?.d).toMatch(/^M.+Z$/);
  });
});

describe("a sheet", () => {
  test("has 1024 units along its longer side", () => {
    expect(sheetFor({ width: 256, height: 128 })).toEqual({ width: 1024, height: 512 });
  });

  test("of another shape keeps what is drawn in its middle", () => {
    const line = { kind: "line", from: [512, 512, 1], to: [612, 512, 1], size: 6 } as const;
    const drawing = add(empty({ width: 1024, height: 1024 }), line);
    const [moved] = onSheet(drawing, { width: 1024, height: 512 }).elements;
    expect(moved).toMatchObject({ from: [512, 256, 1], to: [612, 256, 1] });
  });

  test("is filled by a picture as far as its shape allows", () => {
    const place = fitted({ width: 100, height: 50 }, { width: 1024, height: 1024 });
    expect(place).toEqual({ x: 0, y: 256, width: 1024, height: 512 });
  });

  test("is blank until something other than the eraser was used", () => {
    const sheet = empty({ width: 1024, height: 1024 });
    const stroke = { points: [[1, 1, 1]], size: 6, pressed: false } as const;
    expect(isBlank(add(sheet, { kind: "erase", ...stroke }))).toBe(true);
    expect(isBlank(add(sheet, { kind: "pen", ...stroke }))).toBe(false);
  });
});

test("an SVG masks what was erased before, and not what came after", () => {
  const line = (x: number) => ({ kind: "line", from: [x, 0, 1], to: [x, 9, 1], size: 2 }) as const;
  const erase = { kind: "erase", points: [[1, 1, 1]], size: 9, pressed: false } as const;
  const sheet = { width: 1024, height: 512 };
  const svg = svgOf({ sheet, elements: [line(1), erase, line(2)] }, () => "");
  expect(svg).toMatch(/<g mask="url\(#e1\)"><path d="M1 0L1 9"[^>]*\/><\/g><path d="M2 0L2 9"/);
});
