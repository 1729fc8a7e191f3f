import { expect, test } from "vitest";
import { curl, python } from "../src/snippets";
import { de } from "../src/texts/de";
import { en } from "../src/texts/en";
import { DEFAULTS } from "../src/wish";
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
