// What a person types as the address of a site. Pure.

/** A host with a port, which looks like a scheme. */
const HOST_PORT = /^[^/?#:\s]+:\d{1,5}(?:[/?#]|$)/;
const SCHEME = /^([a-z][a-z0-9+.-]*):/i;

/**
 * @param {string} text
 * @returns {{address: string, wrong: string}} the address with its scheme, and what is wrong with it; empty for nothing
 */
export function siteAddress(text) {
  const typed = text.trim();
  if (!typed) return { address: "", wrong: "Enter the address of the site" };
  const scheme = HOST_PORT.test(typed) ? null : SCHEME.exec(typed);
  if (scheme && !/^https?:\/\//i.test(typed)) return { address: typed, wrong: `“${scheme[1]}:” does not begin the address of a site; use http:// or https://` };
  const address = scheme ? typed : `https://${typed}`;
  if (/\s/.test(typed)) return { address, wrong: "This is not the address of a site: it has spaces in it" };
  try {
    return { address, wrong: new URL(address).hostname ? "" : "This is not the address of a site" };
  } catch {
    return { address, wrong: "This is not the address of a site; it should look like https://example.com" };
  }
}
