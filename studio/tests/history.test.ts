import { expect, test } from "vitest";
import { begin, push, redo, undo } from "../src/draw/history";

test("what is undone can be done again", () => {
  const three = push(push(begin(1), 2), 3);
  expect(undo(three).present).toBe(2);
  expect(redo(undo(three)).present).toBe(3);
  expect(redo(redo(undo(undo(three)))).present).toBe(3);
});

test("there is no end to it", () => {
  let history = begin(0);
  for (let n = 1; n <= 5000; n++) history = push(history, n);
  for (let n = 0; n < 5000; n++) history = undo(history);
  expect(history.present).toBe(0);
  expect(undo(history)).toEqual(history);
});

test("a new step takes the place of those undone", () => {
  const branched = push(undo(push(begin("a"), "b")), "c");
  expect(redo(branched).present).toBe("c");
  expect(undo(branched).present).toBe("a");
});
