import { expect, test } from "vitest";
import { recall, textIn } from "../src/png";

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const PIXEL = btoa("a png");

function chunk(kind: string, data: Uint8Array): number[] {
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, data.length);
  return [...length, ...new TextEncoder().encode(kind), ...data, 0, 0, 0, 0];
}

function png(text: string): Uint8Array<ArrayBuffer> {
  const said = new TextEncoder().encode(`maquette\0\0\0\0\0${text}`);
  return new Uint8Array([...SIGNATURE, ...chunk("IHDR", new Uint8Array(13)), ...chunk("iTXt", said)]);
}

const told = (changed: object = {}) =>
  JSON.stringify({
    parameters: {
      prompt: "façade <b>", negative_prompt: "", seed: 7, num_inference_steps: 4, guidance_scale: 1,
      controlnet_conditioning_scale: 1.2, control_guidance_start: 0, control_guidance_end: 0.7,
      ip_adapter_scale: [0.65], canny_low_threshold: 40, canny_high_threshold: 160, scheduler: "lcm",
      width: 320, height: 256,
    },
    style: "winter",
    style_images: [{ sha256: "", weight: 1, png: null }],
    sketch: { sha256: "", png: PIXEL },
    ...changed,
  });

test("a render says what made it", async () => {
  const found = await recall(new Blob([png(told())]));
  expect(found?.wish).toMatchObject({
    prompt: "façade <b>", seed: 7, ip_adapter_scale: 0.65, scheduler: "lcm", style: "winter",
    width: 320, height: 256, style_images: [],
  });
  expect(await found?.sketch?.text()).toBe("a png");
});

test("pictures of one's own come back with their weights", async () => {
  const own = { style: null, style_images: [{ weight: 0.3, png: PIXEL }, { weight: 0.7, png: PIXEL }] };
  const found = await recall(new Blob([png(told(own))]));
  expect(found?.wish.style).toBe("");
  expect(found?.wish.style_weights).toEqual([0.3, 0.7]);
});

test("styles that were blended come back with their weights", async () => {
  const blended = { style: null, style_images: [{ weight: 0.3, style: "snow" }, { weight: 0.7, style: "dusk" }] };
  const { wish } = (await recall(new Blob([png(told(blended))])))!;
  expect([wish.style, wish.styles, wish.style_weights, wish.style_images]).toEqual(["", ["snow", "dusk"], [0.3, 0.7], []]);
});

test("what a render began with comes back, and its strength as it was meant", async () => {
  const begun = { image: { sha256: "", png: PIXEL }, mask: { sha256: "", png: PIXEL } };
  const found = await recall(new Blob([png(told({ ...begun, sketch: undefined }))]));
  expect([await found?.wish.image?.text(), await found?.wish.mask?.text()]).toEqual(["a png", "a png"]);
  expect([found?.wish.strength, found?.sketch]).toEqual([1, undefined]);
});

test.each([
  ["another program's PNG", new Uint8Array([...SIGNATURE, ...chunk("IHDR", new Uint8Array(13))])],
  ["no PNG", new TextEncoder().encode("maquette")],
  ["no JSON", png("{")],
  ["other JSON", png('{"parameters": 3}')],
  ["a file that is cut short", png(told()).slice(0, 60)],
])("%s says nothing", async (_, bytes) => {
  expect(await recall(new Blob([bytes]))).toBeUndefined();
});

test("values of another kind are left at their defaults", async () => {
  const wrong = told().replace('"seed":7', '"seed":"7"').replace('"width":320', '"width":null');
  const found = await recall(new Blob([png(wrong)]));
  expect(found?.wish).toMatchObject({ seed: null, width: 512, height: 256 });
});

test("a length past the end is no endless loop", () => {
  const bytes = png("x");
  new DataView(bytes.buffer).setUint32(8, 0xffffffff);
  expect(textIn(bytes)).toBeUndefined();
});
