import { expect, test } from "vitest";
import { curl, python } from "../src/snippets";
import { de } from "../src/texts/de";
import { en } from "../src/texts/en";
import { HELP } from "../src/texts/help";
import { DEFAULTS, FIELDS, LISTED } from "../src/wish";
import { structureWords, styleWords } from "../src/words";

const gaps = (text: string) => (text.match(/\{\w+\}/g) ?? []).sort();

test("both languages say every text, with the same gaps", () => {
  for (const key of Object.keys(en) as (keyof typeof en)[]) {
    expect(de[key].trim(), key).not.toBe("");
    expect(gaps(de[key]), key).toEqual(gaps(en[key]));
  }
});

test("scores have words", () => {
  expect([0.9, 0.6, 0.3, 0.1].map(structureWords)).toEqual([
    "structureClose", "structureWell", "structureLoose", "structureLost",
  ]);
  expect(styleWords(null)).toBe("styleChosen");
});

test("a command for the shell takes what was typed as text", () => {
  const wish = { ...DEFAULTS, prompt: "it's @home; $(rm -rf /)", seed: 7 };
  const command = curl(wish, "http://h/m/");
  expect(command).toContain(`--form-string 'prompt=it'\\''s @home; $(rm -rf /)'`);
  expect(command).toContain("'http://h/m/v1/renders'");
  expect(command).not.toContain("num_inference_steps");
});

test("a Python program has what differs from the defaults", () => {
  const program = python({ ...DEFAULTS, prompt: 'a "villa"', seed: 7, scheduler: "lcm" }, "h");
  expect(program).toContain('prompt="a \\"villa\\"",');
  expect(program).toContain('scheduler="lcm",');
  expect(program).not.toContain("guidance_scale");
});

test("a repaint's command names its files", () => {
  const file = new Blob(["x"]);
  const wish = { ...DEFAULTS, prompt: "a", image: file, mask: file, control_in_mask: false, pad: [0, 64, 0, 0] };
  const command = curl(wish, "http://h/");
  for (const part of ["-F image=@image.png", "-F mask=@mask.png", "'pad=64'", "'control_in_mask=false'"])
    expect(command).toContain(part);
  const program = python(wish, "h");
  for (const part of ['mask="mask.png",', "control_in_mask=False,", "pad=[0,64,0,0],"]) expect(program).toContain(part);
});

test("a translation is of a field that there is", () => {
  for (const [name, words] of Object.entries(HELP.de)) {
    expect(Object.keys(FIELDS)).toContain(name);
    expect(words).not.toBe("");
  }
  expect(LISTED.length).toBeGreaterThan(0);
});
