// The live connection: one WebSocket for everything shown, polling while there is none.

import { backoff, judge } from "./resume.js";

const READY_WITHIN = 2500;
const POLL_EVERY = 2000;
const HEALTHY_AFTER = 30_000;
const UNAVAILABLE_RETRY = 2000;

/**
 * @typedef {"live" | "connecting" | "reconnecting" | "polling" | "stopped"} Mode
 * @typedef {{onSnap: (frame: any) => void, onEvent?: (frame: any) => void, onError?: (frame: any) => void}} Handlers
 */

class Live {
  /** @type {Mode} */
  mode = "connecting";
  /** When something last came from the server, in milliseconds. */
  heardAt = 0;
  #subs = new Map();
  #listeners = new Set();
  #socket = null;
  #ready = false;
  #upstream = true;
  #everReady = false;
  #tries = 0;
  #count = 0;
  #beat = 0;
  #retry = 0;
  #lateTimer = 0;
  #missed = 0;

  start() {
    addEventListener("online", () => this.#now());
    addEventListener("pageshow", () => this.#now());
    addEventListener("pagehide", () => this.#socket?.close());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.#now());
    setInterval(() => this.#poll(), POLL_EVERY);
    this.#connect();
  }

  /** @param {() => void} listener called when the mode changes */
  onMode(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Watch a job or a list until the returned function is called.
   * @param {{job?: string, list?: string}} what
   * @param {Handlers & {poll?: () => Promise<void>}} handlers `poll` is called now and then while there is no socket
   */
  watch(what, handlers) {
    const id = `s${++this.#count}`;
    const sub = { id, what, handlers, cursor: null };
    this.#subs.set(id, sub);
    if (this.#ready) this.#subscribe(sub);
    return () => {
      this.#subs.delete(id);
      if (this.#ready) this.#send({ type: "unsub", id });
    };
  }

  /** Ask for everything anew, after an action whose result must be seen. */
  #subscribe(sub) {
    const after = sub.cursor && sub.what.job ? { seq: sub.cursor.seq, epoch: sub.cursor.epoch } : undefined;
    this.#send({ type: "sub", id: sub.id, ...sub.what, after });
  }

  #resubscribe(sub) {
    sub.cursor = null;
    this.#send({ type: "unsub", id: sub.id });
    this.#subscribe(sub);
  }

  #send(frame) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame));
  }

  /** @param {Mode} mode */
  #set(mode) {
    if (mode === this.mode) return;
    this.mode = mode;
    for (const listener of this.#listeners) listener();
  }

  #now() {
    if (this.#socket || this.mode === "stopped") return;
    this.#tries = 0;
    this.#connect();
  }

  #connect() {
    clearTimeout(this.#retry);
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
    this.#socket = socket;
    this.#lateTimer = setTimeout(() => !this.#ready && this.#set("polling"), READY_WITHIN);
    socket.onopen = () => this.#send({ type: "hello", v: 1 });
    socket.onmessage = (message) => this.#frame(JSON.parse(message.data));
    socket.onclose = (event) => this.#closed(socket, event.code);
  }

  #closed(socket, code) {
    if (socket !== this.#socket) return;
    clearInterval(this.#beat);
    this.#socket = null;
    this.#ready = false;
    if (code >= 4400 && code < 4500) return this.#set("stopped");
    this.#set(this.#everReady && this.mode !== "polling" ? "reconnecting" : this.mode);
    this.#later(this.#wait ?? backoff(this.#tries++));
    this.#wait = null;
  }
  #wait = null;

  #later(milliseconds) {
    clearTimeout(this.#retry);
    if (document.visibilityState === "hidden" && this.#tries > 3) return; // visibilitychange brings us back
    this.#retry = setTimeout(() => !this.#socket && this.#connect(), milliseconds);
  }

  #frame(frame) {
    this.heardAt = Date.now();
    this.#missed = 0;
    const sub = this.#subs.get(frame.id);
    if (frame.type === "ready") this.#welcome(frame);
    else if (frame.type === "upstream") this.#upstreamIs(frame.ok);
    else if (frame.type === "bye") this.#wait = frame.reconnect_ms;
    else if (sub && frame.type === "err") this.#refused(sub, frame);
    else if (sub && sub.what.list) sub.handlers[frame.type === "snap" ? "onSnap" : "onEvent"]?.(frame);
    else if (sub && (frame.type === "snap" || frame.type === "ev")) this.#change(sub, frame);
  }

  #welcome({ heartbeat }) {
    clearTimeout(this.#lateTimer);
    this.#ready = this.#everReady = true;
    this.#upstreamIs(true);
    for (const sub of this.#subs.values()) this.#subscribe(sub);
    const socket = this.#socket;
    this.#missed = 0;
    this.#beat = setInterval(() => {
      if (this.#missed++ >= 2) socket.close();
      this.#send({ type: "ping", k: Date.now() });
    }, heartbeat * 1000);
    setTimeout(() => socket === this.#socket && (this.#tries = 0), HEALTHY_AFTER);
  }

  #upstreamIs(ok) {
    this.#upstream = ok;
    this.#set(ok ? "live" : "reconnecting");
  }

  #refused(sub, frame) {
    if (frame.code !== "unavailable") return sub.handlers.onError?.(frame);
    setTimeout(() => this.#ready && this.#subs.has(sub.id) && this.#subscribe(sub), UNAVAILABLE_RETRY);
  }

  #change(sub, frame) {
    const { verdict, cursor } = judge(sub.cursor, frame);
    sub.cursor = cursor;
    if (verdict === "gap") this.#resubscribe(sub);
    if (verdict === "take") sub.handlers[frame.type === "snap" ? "onSnap" : "onEvent"]?.(frame);
  }

  #poll() {
    if (this.#ready && this.#upstream) return;
    if (document.visibilityState === "hidden") return;
    for (const sub of this.#subs.values()) sub.handlers.poll?.().then(() => (this.heardAt = Date.now()), () => {});
  }
}

export const live = new Live();
