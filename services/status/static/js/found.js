// What a list of the REST API holds, piece by piece as it is looked at, kept current by the live connection.

import { useEffect, useMemo, useState } from "../vendor/preact-htm.js";
import { get } from "./api.js";
import { live } from "./live.js";
import { newer } from "./newer.js";

const PIECE = 100;
/** Least milliseconds between two redraws for what the live connection says. */
const SHOW_EVERY = 250;
/** Least milliseconds between two questions; where an answer takes long, ten times as long as that. */
const ASK_EVERY = 1500;

/** @typedef {{total: number, counts: Record<string, number>} & Record<string, any>} Page */

/** Pieces of one list with one look at it. Told of changes, it says when there is something new to draw. */
export class Found {
  /** @type {number | null} how many there are; null until that is known */
  total = null;
  /** @type {Record<string, number>} */
  counts = {};
  problem = /** @type {any} */ (null);
  /** How often there was something new to draw. */
  drawn = 0;
  #pieces = /** @type {Map<number, any[]>} */ (new Map());
  #places = /** @type {Map<string, [number, number]>} */ (new Map());
  #seen = [0, 0];
  #stale = true;
  /** Whether something was heard that the next answer may not know yet: it comes from another service. */
  #unsure = false;
  #asking = false;
  #askedAt = 0;
  #took = 0;
  #timer = 0;
  #due = 0;
  #ended = false;

  /**
   * @param {"jobs" | "clones"} topic
   * @param {string} query of the address, without limit and offset
   * @param {(now: boolean) => void} onNews
   */
  constructor(topic, query, onNews) {
    this.topic = topic;
    this.key = topic === "jobs" ? "job_id" : "clone_id";
    this.query = query;
    this.onNews = onNews;
  }

  begin() {
    const record = this.topic.slice(0, -1);
    const stop = live.watch({ list: this.topic }, {
      onSnap: () => this.#changed(),
      onEvent: ({ event }) => this.hear(event.type, event[record]),
      poll: async () => (this.#changed(), this.#ask()),
    });
    this.#ask();
    return () => ((this.#ended = true), clearTimeout(this.#timer), clearTimeout(this.#due), stop());
  }

  /** The record at a place; undefined while it is not known. */
  at(place) {
    return this.#pieces.get(Math.floor(place / PIECE))?.[place % PIECE];
  }

  /** These are looked at: from one place to before another. */
  look = (first, last) => {
    this.#seen = [first, Math.max(first, last - 1)];
    if (this.#unknown().length) this.#ask();
  };

  /** The live connection says that a record has changed. */
  hear(type, record) {
    const place = this.#places.get(record[this.key]);
    if (place) {
      const [piece, at] = place;
      const known = this.#pieces.get(piece)?.[at];
      if (known && (known.seq ?? 0) < record.seq) this.#pieces.get(piece)[at] = record;
      this.#draw();
    }
    if (type !== "progress" || !place) this.#unsure = true;
    if (this.#unsure || this.query.includes("sort=updated")) this.#changed();
  }

  #changed() {
    this.#stale = true;
    if (!this.#asking && !this.#timer) this.#later();
  }

  #later() {
    const pause = Math.max(ASK_EVERY, 10 * this.#took) - (Date.now() - this.#askedAt);
    this.#timer = setTimeout(() => ((this.#timer = 0), this.#ask()), Math.max(0, pause));
  }

  #draw() {
    this.#due ||= setTimeout(() => ((this.#due = 0), this.#tell()), SHOW_EVERY);
  }

  #tell() {
    if (this.#ended) return;
    this.drawn += 1;
    this.onNews(true);
  }

  /** Pieces that are looked at. */
  #looked() {
    const [first, last] = this.#seen.map((place) => Math.floor(place / PIECE));
    return Array.from({ length: last - first + 1 }, (_, at) => first + at);
  }

  /** Those that are not known. */
  #unknown() {
    return this.#looked().filter((piece) => !this.#pieces.has(piece) && piece * PIECE < (this.total ?? 1));
  }

  async #ask() {
    if (this.#asking || this.#ended) return;
    const wanted = this.#stale ? this.#looked() : this.#unknown();
    if (!wanted.length) return;
    const afresh = this.#stale, unsure = this.#unsure;
    [this.#asking, this.#stale, this.#unsure] = [true, false, false];
    const at = (this.#askedAt = Date.now());
    try {
      const query = this.query && `&${this.query}`;
      const pages = await Promise.all(wanted.map((piece) => get(`/${this.topic}?count=true&limit=${PIECE}&offset=${piece * PIECE}${query}`)));
      if (this.#older(pages) || unsure) this.#stale = true;
      this.#take(wanted, pages, afresh);
      this.problem = null;
    } catch (problem) {
      this.problem = problem;
      this.#stale = true;
    }
    this.#took = Date.now() - at;
    this.#asking = false;
    this.#tell();
    if (this.#stale && !this.#timer && !this.#ended) this.#later();
    else if (this.#unknown().length) this.#ask(); // somebody has scrolled on meanwhile
  }

  /** Whether an answer is behind what was heard. */
  #older = (pages) => pages.some((page) => page[this.topic].some((record) => (this.#record(record[this.key])?.seq ?? 0) > (record.seq ?? 0)));

  #take(wanted, pages, afresh) {
    const before = (id) => this.#record(id);
    const settled = pages.map((page) => page[this.topic].map((record) => newer(before(record[this.key]), record)));
    if (afresh) this.#pieces.clear(), this.#places.clear();
    wanted.forEach((piece, at) => {
      this.#pieces.set(piece, settled[at]);
      settled[at].forEach((record, place) => this.#places.set(record[this.key], [piece, place]));
    });
    this.total = pages[0].total;
    this.counts = pages[0].counts;
  }

  #record(id) {
    const place = this.#places.get(id);
    return place && this.#pieces.get(place[0])?.[place[1]];
  }
}

/** @param {"jobs" | "clones"} topic @param {string} query @returns {Found} */
export function useFound(topic, query) {
  const [, setCount] = useState(0);
  const found = useMemo(() => new Found(topic, query, () => setCount((count) => count + 1)), [topic, query]);
  useEffect(() => found.begin(), [found]);
  return found;
}
