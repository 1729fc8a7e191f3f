import { expect, test } from "vitest";
import { DEFAULTS, FIELDS, LISTED, QUALITIES, fidelityOf, formOf, padded, qualityOf, sizesOf, withFidelity, wishOf } from "../src/wish";

const limits = {
  native_side: 256, max_pixels: 512 * 512, min_side: 128, max_side: 1024, side_step: 64, max_steps: {}, cross_attention_layers: 16,
};

test("sizes are the gateway's, the pack's own first", () => {
  const sizes = sizesOf({ limits });
  expect(sizes[0]).toEqual({ width: 256, height: 256 });
  expect(sizes).toContainEqual({ width: 512, height: 512 });
  expect(sizes.some(({ width, height }) => width / height === 4 / 3)).toBe(true);
  expect(sizes.some(({ width, height }) => width < height)).toBe(true);
  for (const { width, height } of sizes) {
    expect(width % 64 || height % 64).toBe(0);
    expect(width * height).toBeLessThanOrEqual(limits.max_pixels);
  }
  expect(new Set(sizes.map(({ width, height }) => `${width}x${height}`)).size).toBe(sizes.length);
});

test("a fidelity of the defaults leaves the defaults", () => {
  expect(withFidelity(DEFAULTS, fidelityOf(DEFAULTS))).toEqual(DEFAULTS);
});

test("little fidelity frees the last steps as well", () => {
  const loose = withFidelity(DEFAULTS, 0.25);
  expect(loose.controlnet_conditioning_scale).toBe(0.5);
  expect(loose.control_guidance_end).toBe(0.75);
});

test("a quality is known by its numbers", () => {
  expect(qualityOf(DEFAULTS)).toBe("quality");
  expect(qualityOf({ ...DEFAULTS, ...QUALITIES.fast })).toBe("fast");
  expect(qualityOf({ ...DEFAULTS, num_inference_steps: 7 })).toBeUndefined();
});

test("a form has what is asked for, and leaves out what is not", () => {
  const form = formOf({ ...DEFAULTS, prompt: "a villa", seed: 0 }, new Blob(["x"]), { id: "r1" });
  expect(form.get("prompt")).toBe("a villa");
  expect(form.get("seed")).toBe("0");
  expect(form.get("id")).toBe("r1");
  expect(form.has("style")).toBe(false);
  expect(form.has("negative_prompt")).toBe(false);
  expect(form.has("style_weights")).toBe(false);
});

test("pictures of one's own take the style's place", () => {
  const own = { style: "winter", style_images: [new Blob(["a"]), new Blob(["b"])], style_weights: [1, 0.5] };
  const form = formOf({ ...DEFAULTS, prompt: "x", ...own }, new Blob(["x"]), {});
  expect(form.has("style")).toBe(false);
  expect(form.getAll("style_images")).toHaveLength(2);
  expect(form.getAll("style_weights")).toEqual(["1", "0.5"]);
});

test("a picture to begin with goes along with its strength, which goes nowhere alone", () => {
  const sketch = new Blob(["x"]);
  const without = formOf({ ...DEFAULTS, prompt: "a" }, sketch, {});
  expect([without.has("image"), without.has("strength")]).toEqual([false, false]);
  const form = formOf({ ...DEFAULTS, prompt: "a", image: new Blob(["y"]), strength: 0.5 }, sketch, {});
  expect([(form.get("image") as File).size, form.get("strength")]).toEqual([1, "0.5"]);
});

test("several styles go along with their weights, in place of one", () => {
  const blended = { ...DEFAULTS, prompt: "x", style: "winter", styles: ["snow", "dusk"], style_weights: [1, 0.25] };
  const form = formOf(blended, new Blob(["x"]), {});
  expect([form.has("style"), form.getAll("styles"), form.getAll("style_weights")]).toEqual([false, ["snow", "dusk"], ["1", "0.25"]]);
  const one = formOf({ ...blended, styles: [] }, new Blob(["x"]), {});
  expect([one.get("style"), one.has("styles"), one.has("style_weights")]).toEqual(["winter", false, false]);
});

test("a mask and what is said of it go along with their picture, and nowhere alone", () => {
  const sketch = new Blob(["x"]);
  const masked = { ...DEFAULTS, prompt: "a", mask: new Blob(["mask"]), mask_blur: 4, control_in_mask: false, pad: [0, 64, 0, 0] };
  const alone = formOf(masked, sketch, {});
  for (const name of ["mask", "mask_blur", "control_in_mask", "pad"]) expect(alone.has(name)).toBe(false);
  const form = formOf({ ...masked, image: new Blob(["y"]) }, sketch, {});
  expect((form.get("mask") as File).size).toBe(4);
  expect([form.get("mask_blur"), form.get("control_in_mask"), form.getAll("pad")]).toEqual(["4", "false", ["0", "64", "0", "0"]]);
});

test("every field that has no control of its own is listed, and goes out once it differs", () => {
  expect(LISTED).toEqual(expect.arrayContaining(["guidance_start", "guidance_end", "sketch_kind", "variation_seed", "style_filter"]));
  expect(LISTED).not.toContain("prompt");
  // Previews are the page's own affair, and its slider sets what a fidelity stands for.
  expect(Object.keys(FIELDS).filter((name) => !(name in DEFAULTS))).toEqual(["preview_interval", "fidelity", "profile"]);
  const sent = formOf({ ...DEFAULTS, prompt: "a", guidance_end: 0.5, style_filter: ["snow", "dusk"] }, new Blob(["x"]), {});
  expect([sent.get("guidance_end"), sent.getAll("style_filter"), sent.has("guidance_start")]).toEqual(["0.5", ["snow", "dusk"], false]);
});

test("values come back of the kind that the API has them in", () => {
  for (const name of LISTED) expect(DEFAULTS[name]).toEqual(FIELDS[name]!.default);
  const given = { guidance_end: 0.5, variation_seed: 3, style_filter: ["snow"], control_in_mask: false, pad: ["64"], sketch_kind: 1 };
  const { guidance_end, variation_seed, style_filter, control_in_mask, pad, sketch_kind } = wishOf(given);
  expect([guidance_end, variation_seed, style_filter, control_in_mask]).toEqual([0.5, 3, ["snow"], false]);
  expect([pad, sketch_kind]).toEqual([DEFAULTS.pad, DEFAULTS.sketch_kind]);
});

test.each([
  [{ width: 256, height: 256 }, [64, 0, 64, 0], { width: 384, height: 256 }],
  [{ width: 512, height: 512 }, [0, 0, 512, 0], { width: 704, height: 320 }],
  [{ width: 256, height: 256 }, [10, 0, 0, 0], { width: 256, height: 256 }],
])("%o with %o around it has a size that the gateway takes", (size, pad, whole) => {
  expect(padded(size, pad, { limits })).toEqual(whole);
});
