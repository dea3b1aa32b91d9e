import assert from "node:assert/strict";
import { test } from "node:test";
import { backoff, judge } from "../../services/status/static/js/resume.js";
import { byLine, readBatch, Wrong } from "../../services/status/static/js/batch-file.js";
import { amount, momentIn, optionsInWords, places, size, span, stateOf, title } from "../../services/status/static/js/format.js";
import { next } from "../../services/status/static/js/next.js";
import { newer } from "../../services/status/static/js/newer.js";
import { siteAddress } from "../../services/status/static/js/site-address.js";
import { seen } from "../../services/status/static/js/places.js";
import { progressOf, settled, statusOf, whole } from "../../services/status/static/js/whole.js";

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
  assert.equal(stateOf({ status: "completed", clone_state: "active" }).word, "Completed");
  assert.equal(stateOf({ status: "completed", clone_state: "deleted" }).word, "Clone deleted");
  assert.equal(stateOf({ status: "completed", result: { state: "deleting" } }).word, "Clone being deleted");
});

test("what a job is called", () => {
  const restore = { type: "restore", action: "restore", name: null, source_url: "http://clone-576z0qp7m6b4nj8q.localhost:8080/", target_url: "https://shop.example" };
  assert.equal(title(restore), "Restore of shop.example");
  assert.equal(places(restore), "from a clone");
  assert.equal(places({ ...restore, name: "Spring", source_url: "https://staging.example" }), "from staging.example to shop.example");
  assert.equal(title({ ...restore, action: "rollback" }), "Roll-back of shop.example");
  assert.equal(places({ type: "clone", name: null, source_url: "https://shop.example" }), "");
});

test("what the options of a clone do", () => {
  assert.equal(optionsInWords({}), "");
  assert.equal(optionsInWords({ exclude_tables: [], exclude_paths: [], allow_http: [], constants: [], keep_transients: false, fresh: false }), "");
  assert.equal(optionsInWords({ media: "remote" }), "pictures and documents stay on the source");
  assert.equal(optionsInWords({ exclude_tables: ["a", "b"], allow_http: ["api.example"] }), "2 tables left out, may call 1 host");
  assert.equal(optionsInWords({ exclude_paths: ["a"], constants: ["WP_DEBUG"], keep_transients: true, fresh: true }), "1 path left out, keeps 1 constant of wp-config.php, transients copied, nothing taken from earlier clones");
});

const counts = (more) => ({ pending: 0, running: 0, completed: 0, failed: 0, cancelled: 0, ...more });

test("the state of a batch follows from its jobs, as on the server", () => {
  assert.equal(statusOf(counts({ pending: 3 })), "pending");
  assert.equal(statusOf(counts({ pending: 2, completed: 1 })), "running");
  assert.equal(statusOf(counts({ completed: 2 })), "completed");
  assert.equal(statusOf(counts({ completed: 1, cancelled: 1 })), "partially_completed");
  assert.equal(statusOf(counts({ failed: 1, cancelled: 1 })), "failed");
  assert.equal(statusOf(counts({ cancelled: 2 })), "cancelled");
  const jobs = [{ status: "failed", progress: 12 }, { status: "running", progress: 50 }];
  assert.equal(progressOf(jobs, 3), 50);
  assert.equal(progressOf([{ status: "running", progress: 99.99 }], 1), 99.9);
});

test("what was heard of a job is newer than an answer asked for at that time, and older than a later one", () => {
  const row = { job_id: "clone-a", status: "running", phase: null, progress: 40, message: "" };
  const batch = { total: 2, jobs: [row], counts: {}, status: "running" };
  const heard = new Map([["clone-a", { at: 10_000, job: { ...row, status: "completed", progress: 100 } }]]);
  assert.deepEqual(whole(batch, 11_000, heard).counts, counts({ pending: 1, completed: 1 }));
  assert.equal(whole(batch, 11_000, heard).progress, 50);
  assert.equal(whole(batch, 12_500, heard).jobs[0].status, "running");
  const left = { ...row, phase: "cancelling" };
  assert.equal(whole({ ...batch, total: 1, jobs: [left] }, 0, new Map()).phase, "cancelling");
});

test("a row that has not changed stays the object it was", () => {
  const old = { job_id: "clone-a", status: "running", phase: null, progress: 40, message: "" };
  assert.equal(settled([{ ...old }], [old])[0], old);
  assert.notEqual(settled([{ ...old, progress: 41 }], [old])[0], old);
  assert.deepEqual(settled([{ ...old }], []), [old]);
});

test("sites are read from lines, CSV and JSON; what is wrong is said with its line", () => {
  const plain = readBatch("shop.example, admin, pass word, Shop\n\nhttp://blog.example\n");
  assert.deepEqual(plain.clones, [{ source_url: "https://shop.example", username: "admin", password: "pass word", name: "Shop" }, { source_url: "http://blog.example" }]);
  assert.deepEqual(plain.lines, [1, 3]);
  const csv = readBatch('source_url;password;ttl;exclude_tables\n"shop.example";" a ""b"" ";7d;stats|log\n');
  assert.deepEqual(csv.clones, [{ source_url: "https://shop.example", password: ' a "b" ', ttl_minutes: 10_080, options: { exclude_tables: ["stats", "log"] } }]);
  assert.deepEqual(readBatch('{"defaults": {"username": "a"}, "clones": [{"source_url": "x.example"}]}').defaults, { username: "a" });
  assert.deepEqual(readBatch('{"source_url": "x.example"}\n{"source_url": "y.example"}').lines, [1, 2]);
  assert.equal(byLine({ field: "clones.1.source_url", message: "is no address" }, plain), "Line 3: source_url is no address");
  for (const [text, line] of [[" ", /no sites/], ["a.example,b,c,d,e", /Line 1 has 5/], ["source_url,user\nx,y", /user is not a column/], ['a.example\n"b', /Line 2 has a quote/], ["source_url,ttl\nx,soon", /Line 2: soon/], ['[{"username": "a"}]', /Clone 1 has no address/], ["a.example\nhtp:/bad", /Line 2: “htp:” does not/], ["not a url", /Line 1: .*spaces/], ['{"source_url": "x"}\n{', /Line 2 is not valid/]])
    assert.throws(() => readBatch(text), (error) => error instanceof Wrong && line.test(error.message), text);
});

test("what may help is offered, what can not is not", () => {
  const failed = (code, more) => next({ type: "clone", status: "failed", error: { code }, ...more });
  assert.deepEqual(failed("source_unreachable"), { retry: true, anew: "" });
  assert.deepEqual(failed("wrong_password"), { retry: false, anew: "Start again with another password" });
  assert.deepEqual(failed("secret_gone"), { retry: false, anew: "Start again" });
  assert.deepEqual(failed("captcha_required"), { retry: true, anew: "Start again with a pairing key", byKey: true });
  assert.equal(failed("bad_pairing_key").retry, false);
  assert.deepEqual(failed("two_factor_required"), { retry: false, anew: "Start again with a pairing key", byKey: true });
  assert.deepEqual(failed("host_not_found"), { retry: true, anew: "Start again with another address" });
  assert.deepEqual(failed("multisite_unsupported"), { retry: false, anew: "" });
  assert.deepEqual(next({ type: "clone", status: "cancelled", error: null }), { retry: false, anew: "Start again" });
  assert.deepEqual(next({ type: "clone", status: "failed", error: { code: "source_unreachable" } }, true), { retry: false, anew: "Start again" });
  const refresh = (code) => failed(code, { action: "refresh" });
  assert.deepEqual(refresh("clone_edited"), { retry: false, anew: "Refresh this clone again", byKey: false });
  assert.deepEqual(refresh("wrong_password"), { retry: false, anew: "Refresh this clone again", byKey: false });
  assert.deepEqual(refresh("source_unreachable"), { retry: true, anew: "", byKey: false });
  assert.deepEqual(next({ type: "clone", status: "running" }), { retry: false, anew: "" });
  assert.deepEqual(failed("production_would_lose", { type: "restore" }), { retry: false, anew: "Restore this clone again" });
  assert.deepEqual(failed("target_busy", { type: "restore" }), { retry: true, anew: "" });
  assert.deepEqual(failed("wrong_password", { type: "restore", action: "rollback" }), { retry: false, anew: "To the snapshot" });
  assert.deepEqual(failed("snapshot_gone", { type: "restore", action: "rollback" }), { retry: false, anew: "" });
});

test("what is typed as an address is one, or it is said what is wrong", () => {
  for (const [text, address] of [
    ["shop.example.com", "https://shop.example.com"], [" http://a.example/x ", "http://a.example/x"], ["HTTPS://A.example", "HTTPS://A.example"],
    ["localhost:8080/site", "https://localhost:8080/site"], ["shop.example:8443", "https://shop.example:8443"], ["münchen.example", "https://münchen.example"],
    ["[::1]:8080", "https://[::1]:8080"], ["a.example/x?u=http://b", "https://a.example/x?u=http://b"],
  ]) assert.deepEqual(siteAddress(text), { address, wrong: "" }, text);
  for (const [text, why] of [
    ["", /Enter/], ["  ", /Enter/], ["htp:/bad", /“htp:”/], ["htp://bad", /“htp:”/], ["ftp://a.example", /“ftp:”/], ["http:/a.example", /“http:”/], ["https:a.example", /“https:”/],
    ["mailto:a@b.example", /“mailto:”/], ["javascript:alert(1)", /“javascript:”/], ["not a url", /spaces/], ["https://a b.example", /spaces/], ["https://", /not the address/], ["a.example:99999", /not the address/],
  ]) assert.match(siteAddress(text).wrong, why, text);
});

test("only what is seen of a list, and a little around it, is drawn", () => {
  const list = { height: 900, row: 100, columns: 1, total: 1000 };
  assert.deepEqual(seen({ ...list, top: 300 }), [0, 12]);
  assert.deepEqual(seen({ ...list, top: -50_000 }), [494, 515]);
  assert.deepEqual(seen({ ...list, top: -99_500 }), [989, 1000]);
  assert.deepEqual(seen({ ...list, top: 300, total: 3 }), [0, 3]);
  assert.deepEqual(seen({ ...list, top: 300, total: 0 }), [0, 0]);
  assert.deepEqual(seen({ ...list, top: -1000, columns: 3 }), [12, 75]);
  assert.deepEqual(seen({ ...list, top: -500_000 }), [1000, 1000]);
});

test("of two answers about a record the one that knows more is shown, and what is the same stays the object it was", () => {
  const job = { job_id: "a", seq: 5, message: "x", error: null };
  assert.equal(newer(undefined, job), job);
  assert.equal(newer(job, { ...job }), job);
  const later = { ...job, seq: 6, message: "y" };
  assert.equal(newer(job, later), later);
  assert.equal(newer(later, job), later);
});

test("a moment is shown as clocks of its zone show it, and in UTC where the zone is not known", () => {
  assert.equal(momentIn("2026-12-01T01:30:00.000000Z", "Europe/Berlin"), "Tue, Dec 1, 2026, 02:30");
  assert.equal(momentIn("2026-12-01T01:30:00.000000Z", "Nowhere/Else"), "Tue, Dec 1, 2026, 01:30 UTC");
});
