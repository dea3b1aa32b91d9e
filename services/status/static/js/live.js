// The live connection: one WebSocket for everything shown. Without one, server-sent events for jobs, polling for lists.

import { SIGNED_OUT } from "./api.js";
import { backoff, judge } from "./resume.js";

const READY_WITHIN = 2500;
const POLL_EVERY = 2000;
const HEALTHY_AFTER = 30_000;
/** After so many milliseconds of silence we ask whether anybody is there; without an answer in another one and a half times
 * that, nobody is. So the page says within 20 s that it is not live any more. */
const BEAT = 5000;
const ANSWER_WITHIN = 1.5 * BEAT;
/** A handshake that takes longer leads nowhere. */
const OPEN_WITHIN = 10_000;
const UNAVAILABLE_RETRY = 2000;
const UNAUTHENTICATED = 4401;

/**
 * @typedef {"live" | "events" | "connecting" | "reconnecting" | "polling" | "stopped"} Mode
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
  #askedAt = 0;
  #retry = 0;
  #lateTimer = 0;
  #begun = false;
  #out = false;

  /** Begin, or go on after `stop`. */
  start() {
    this.#out = false;
    if (this.#begun) return this.#now();
    this.#begun = true;
    addEventListener("online", () => this.#now());
    addEventListener("pageshow", () => this.#now());
    addEventListener("pagehide", () => this.#socket?.close());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.#now());
    setInterval(() => this.#poll(), POLL_EVERY);
    this.#connect();
  }

  /** Nobody is signed in any more. */
  stop() {
    this.#out = true;
    clearTimeout(this.#retry);
    for (const sub of this.#subs.values()) this.#closeSource(sub);
    this.#socket?.close();
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
    const sub = { id, what, handlers, cursor: null, source: null };
    this.#subs.set(id, sub);
    if (this.#ready) this.#subscribe(sub);
    else if (this.mode === "events" || this.mode === "polling") this.#fallBack();
    return () => {
      this.#subs.delete(id);
      this.#closeSource(sub);
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
    if (sub.source) return this.#closeSource(sub), this.#openSource(sub);
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
    if (this.#socket || this.#out || this.mode === "stopped") return;
    this.#tries = 0;
    this.#connect();
  }

  #connect() {
    clearTimeout(this.#retry);
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
    this.#socket = socket;
    // counted from the first of several tries, however soon each of them fails
    this.#lateTimer ||= setTimeout(() => ((this.#lateTimer = 0), this.#fallBack()), READY_WITHIN);
    setTimeout(() => socket === this.#socket && !this.#ready && (socket.close(), this.#closed(socket, 1006)), OPEN_WITHIN);
    socket.onopen = () => this.#send({ type: "hello", v: 1 });
    socket.onmessage = (message) => socket === this.#socket && this.#frame(JSON.parse(message.data));
    socket.onclose = (event) => this.#closed(socket, event.code);
  }

  #closed(socket, code) {
    if (socket !== this.#socket) return;
    clearInterval(this.#beat);
    this.#socket = null;
    this.#ready = false;
    if (code === UNAUTHENTICATED) return dispatchEvent(new Event(SIGNED_OUT));
    if (this.#out) return this.#set("connecting");
    if (code >= 4400 && code < 4500) return this.#set("stopped");
    this.#set(this.#everReady && this.mode !== "polling" && this.mode !== "events" ? "reconnecting" : this.mode);
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
    const sub = this.#subs.get(frame.id);
    if (frame.type === "ready") this.#welcome(frame);
    else if (frame.type === "upstream") this.#upstreamIs(frame.ok);
    else if (frame.type === "bye") this.#wait = frame.reconnect_ms;
    else if (sub && frame.type === "err") this.#refused(sub, frame);
    else if (sub && sub.what.list) {
      sub.handlers[frame.type === "snap" ? "onSnap" : "onEvent"]?.(frame);
      if (frame.partial) sub.handlers.poll?.().catch(() => {}); // older ones of ours, which the server did not keep
    }
    else if (sub && (frame.type === "snap" || frame.type === "ev")) this.#change(sub, frame);
  }

  #welcome() {
    clearTimeout(this.#lateTimer);
    this.#lateTimer = 0;
    this.#ready = this.#everReady = true;
    this.#upstreamIs(true);
    for (const sub of this.#subs.values()) {
      this.#closeSource(sub);
      this.#subscribe(sub);
    }
    const socket = this.#socket;
    clearInterval(this.#beat);
    this.#beat = setInterval(() => this.#look(socket), BEAT / 2);
    setTimeout(() => socket === this.#socket && (this.#tries = 0), HEALTHY_AFTER);
  }

  /** Whether the other side still says something. A socket is given up at once: closing it waits for an answer, too. */
  #look(socket) {
    const now = Date.now();
    if (this.#askedAt > this.heardAt) {
      if (now - this.#askedAt > ANSWER_WITHIN) socket.close(), this.#closed(socket, 1006);
    } else if (now - this.heardAt > BEAT) {
      this.#askedAt = now;
      this.#send({ type: "ping", k: now });
    }
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

  /** WebSockets do not get through: jobs by server-sent events, everything else by polling. */
  #fallBack() {
    if (this.#ready || this.#out) return;
    for (const sub of this.#subs.values()) if (sub.what.job && !sub.source && !sub.over) this.#openSource(sub);
    this.#setFallen();
  }

  #setFallen() {
    const subs = [...this.#subs.values()];
    if (!this.#ready) this.#set(subs.length && subs.every((sub) => sub.over || flows(sub)) ? "events" : "polling");
  }

  #openSource(sub) {
    const source = (sub.source = new EventSource(`/jobs/${encodeURIComponent(sub.what.job)}/events`));
    const heard = () => (sub.heardAt = this.heardAt = Date.now());
    const take = ({ data }) => {
      if (source !== sub.source) return;
      heard();
      this.#change(sub, JSON.parse(data));
      this.#setFallen();
    };
    source.addEventListener("snap", take);
    source.addEventListener("ev", take);
    source.addEventListener("ping", heard);
    source.addEventListener("end", () => source === sub.source && ((sub.over = true), this.#closeSource(sub), this.#setFallen()));
    source.onopen = () => (heard(), this.#setFallen());
    source.onerror = () => {
      if (source !== sub.source) return;
      if (source.readyState === EventSource.CLOSED) sub.source = null; // refused; the next try of the socket tries this too
      this.#setFallen();
    };
  }

  #closeSource(sub) {
    sub.source?.close();
    sub.source = null;
  }

  /** A browser does not notice that events have stopped coming; another try may be answered. */
  #renew() {
    for (const sub of this.#subs.values()) if (sub.source && flows(sub) && Date.now() - sub.heardAt > BEAT + ANSWER_WITHIN) this.#closeSource(sub), this.#openSource(sub);
    this.#setFallen();
  }

  #poll() {
    if (!this.#ready && (this.mode === "events" || this.mode === "polling")) this.#renew();
    if (this.#out || (this.#ready && this.#upstream)) return;
    if (document.visibilityState === "hidden") return;
    for (const sub of this.#subs.values()) if (!flows(sub)) sub.handlers.poll?.().then(() => (this.heardAt = Date.now()), () => {});
  }
}

/** Whether server-sent events of this subscription come in. */
const flows = (sub) => sub.source?.readyState === EventSource.OPEN;

export const live = new Live();
