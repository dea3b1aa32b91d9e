// A look at a site whose address was typed: says what cloning it will meet, and never stands in the way.

import { html, useEffect, useRef, useState } from "../vendor/preact-htm.js";
import { post } from "./api.js";
import { Icon } from "./parts.js";

/** Milliseconds after the field was left: nothing may move under a finger that is on its way to the button. */
const PAUSE = 500;

/**
 * @param {{ready: boolean, message: string, version?: string, login?: string, error?: {hint?: string}, notes: {message: string}[]}} seen
 * @returns {{tone: string, icon: string, word: string, lines: string[]}} a preview in words
 */
export function told(seen) {
  const notes = seen.notes.map(({ message }) => message);
  if (seen.ready) return { tone: "good", icon: "check", word: `WordPress ${seen.version ?? ""}`.trim(), lines: ["Its login form was found.", ...notes] };
  return { tone: "warn", icon: "stop", word: "May not work", lines: [seen.message, seen.error?.hint ?? ""].filter(Boolean) };
}

const CHECKING = { tone: "busy", icon: "spinner", word: "Checking…", lines: [] };

/**
 * Previews of one address at a time. A look that can not be taken says nothing: cloning does not need it.
 * @returns {{shown: ReturnType<typeof told> | null, look: (address: string) => void, forget: () => void}}
 */
export function usePreview() {
  const [shown, setShown] = useState(/** @type {ReturnType<typeof told> | null} */ (null));
  const last = useRef({ address: "", turn: 0, timer: 0 });

  const forget = () => {
    clearTimeout(last.current.timer);
    last.current = { address: "", turn: last.current.turn + 1, timer: 0 };
    setShown(null);
  };
  const look = (address) => {
    if (address === last.current.address) return;
    forget();
    const { turn } = last.current;
    const show = (what) => turn === last.current.turn && setShown(what); // else another address was typed meanwhile
    last.current.address = address;
    last.current.timer = setTimeout(async () => {
      show(CHECKING);
      show(await post("/preflight", { source_url: address }).then(told, () => null));
    }, PAUSE);
  };
  useEffect(() => forget, []);
  return { shown, look, forget };
}

/** What was seen. There from the start, so that screen readers hear it change. */
export const Preview = ({ of }) => html`<div role="status" class="row wrap" data-preview>
  ${of && html`<span class=${`state ${of.tone}`}><${Icon} name=${of.icon} />${of.word}</span>
    ${of.lines.length > 0 && html`<span class="hint">${of.lines.join(" ")}</span>`}`}</div>`;
