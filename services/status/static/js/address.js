// The address behind the `#`: which page, and how its list is looked at, so that both survive a reload and can be sent.

import { useEffect, useState } from "../vendor/preact-htm.js";

const CHANGED = "lookchanged";

/** @param {string} [hash] @returns {{page: string, id: string | undefined, query: URLSearchParams}} */
export function read(hash = location.hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [page, id, ...rest] = path.split("/");
  return { page: rest.some(Boolean) ? path : page, id: id || undefined, query: new URLSearchParams(query) };
}

/**
 * How the list of this page is looked at, and a way to change it. What is empty leaves the address.
 * @returns {[URLSearchParams, (changes: Record<string, string>, step?: boolean) => void]} `step`: the browser's Back undoes it
 */
export function useQuery() {
  const [query, setQuery] = useState(read().query);
  useEffect(() => {
    const changed = () => setQuery(read().query);
    addEventListener("hashchange", changed);
    addEventListener(CHANGED, changed);
    return () => (removeEventListener("hashchange", changed), removeEventListener(CHANGED, changed));
  }, []);
  const change = (changes, step = true) => {
    const next = new URLSearchParams(read().query);
    for (const [name, value] of Object.entries(changes)) value ? next.set(name, value) : next.delete(name);
    const path = location.hash.split("?")[0] || "#/";
    history[step ? "pushState" : "replaceState"](null, "", next.size ? `${path}?${next}` : path);
    dispatchEvent(new Event(CHANGED));
  };
  return [query, change];
}
