// What a batch is, from its jobs: the same rules as the server's. Pure.

import { isOver } from "./format.js";

const STATUSES = ["pending", "running", "completed", "failed", "cancelled"];
/** Milliseconds by which an answer of the REST API may be older than the live connection. */
const BEHIND = 2000;

/**
 * @typedef {{job_id: string, status: string, phase: string | null, progress: number, message: string}} Row
 * @typedef {Map<string, {job: any, at: number}>} Heard what the live connection said, and when
 */

/** @param {string} batchId @param {string} jobId @returns {boolean} members are told by their ids: `batch-…00` has `clone-…00`, `clone-…01`, … */
export const isMember = (batchId, jobId) => jobId.startsWith(`clone-${batchId.slice("batch-".length, -2)}`);

/**
 * The batch with what was heard of its jobs since it was asked for. What was heard well before that yields to the
 * answer, so that a change that never came by the live connection is seen all the same.
 * @param {any} batch the answer of GET /batches/{id}
 * @param {number} askedAt when it was asked for, in milliseconds
 * @param {Heard} heard
 */
export function whole(batch, askedAt, heard) {
  const jobs = batch.jobs.map((row) => {
    const news = heard.get(row.job_id);
    return news && news.at + BEHIND > askedAt ? news.job : row;
  });
  const counts = Object.fromEntries(STATUSES.map((status) => [status, 0]));
  counts.pending = batch.total - jobs.length; // accepted a moment ago, not yet in the list
  for (const job of jobs) counts[job.status] += 1;
  const left = jobs.filter((job) => !isOver(job));
  const cancelling = jobs.length === batch.total && left.length > 0 && left.every((job) => job.phase === "cancelling");
  return { ...batch, jobs, counts, status: statusOf(counts), phase: cancelling ? "cancelling" : null, progress: progressOf(jobs, batch.total) };
}

/**
 * The rows of an answer, where nothing of one has changed the object it was before: what is the same need not be drawn anew.
 * @param {Row[]} rows @param {Row[]} before
 */
export function settled(rows, before) {
  const known = new Map(before.map((row) => [row.job_id, row]));
  const same = (row, old) => old && ["status", "phase", "progress", "message"].every((name) => row[name] === old[name]);
  return rows.map((row) => (same(row, known.get(row.job_id)) ? known.get(row.job_id) : row));
}

/** @param {Record<string, number>} counts jobs by status */
export function statusOf({ pending, running, completed, failed, cancelled }) {
  if (!running && !completed && !failed && !cancelled) return "pending";
  if (pending || running) return "running";
  if (completed) return failed || cancelled ? "partially_completed" : "completed";
  return failed ? "failed" : "cancelled";
}

/** The mean, where an ended job counts whole, rounded down: 100 says that all have ended. @param {Row[]} jobs @param {number} total */
export function progressOf(jobs, total) {
  const done = jobs.reduce((sum, job) => sum + (isOver(job) ? 100 : job.progress), 0);
  return Math.floor((done / total) * 10 + 1e-6) / 10;
}

/** @param {Record<string, number>} counts @returns {string} `1 running, 2 completed` */
export const countWords = (counts) => STATUSES.filter((status) => counts[status]).map((status) => `${counts[status].toLocaleString("en")} ${status === "pending" ? "waiting" : status}`).join(", ");
