import assert from "node:assert/strict";
import { test } from "node:test";
import { backoff, judge } from "../../services/status/static/js/resume.js";
import { amount, size, span, stateOf } from "../../services/status/static/js/format.js";

const known = { seq: 10, n: 4, epoch: "e" };

test("a snapshot is taken unless it is older within the same life of the stream", () => {
  assert.equal(judge(null, { type: "snap", seq: 3, n: 1, epoch: "e" }).verdict, "take");
  assert.equal(judge(known, { type: "snap", seq: 9, n: 3, epoch: "e" }).verdict, "skip");
  assert.equal(judge(known, { type: "snap", seq: 2, n: 1, epoch: "f" }).verdict, "take");
});

test("changes are taken in order, skipped when known, and a hole is seen", () => {
  assert.deepEqual(judge(known, { type: "ev", seq: 12, n: 5 }), { verdict: "take", cursor: { seq: 12, n: 5, epoch: "e" } });
  assert.equal(judge(known, { type: "ev", seq: 10, n: 4 }).verdict, "skip");
  assert.equal(judge(known, { type: "ev", seq: 15, n: 6 }).verdict, "gap");
  assert.equal(judge(known, { type: "ev", seq: 15, n: 7, merged: 2 }).verdict, "take");
  assert.equal(judge(null, { type: "ev", seq: 1, n: 1 }).verdict, "gap");
  assert.equal(judge(known, { type: "ev", seq: 11, n: 4 }).verdict, "take"); // the clone changed, not the job
});

test("the wait grows, is spread, and stays within 20 s", () => {
  assert.equal(backoff(0, () => 0), 500);
  assert.equal(backoff(0, () => 1), 1000);
  assert.equal(backoff(50, () => 1), 20_000);
});

test("numbers for people", () => {
  assert.equal(size(168_420_311), "168 MB");
  assert.equal(size(999), "999 B");
  assert.equal(size(1_500), "1.5 kB");
  assert.equal(span(0.23), "0.2 s");
  assert.equal(span(125), "2 min 5 s");
  assert.equal(span(2 * 86400 + 3600), "2 d 1 h");
  assert.equal(amount({ state: "running", done: 5, total: 20, unit: "pages" }), "5 of 20 pages");
  assert.equal(amount({ state: "done", done: 20, total: 20, unit: "pages" }), "20 pages");
  assert.equal(amount({ state: "pending", done: 0, total: 20, unit: "pages" }), "");
  assert.equal(stateOf({ status: "running", phase: "cancelling" }).word, "Cancelling");
});
