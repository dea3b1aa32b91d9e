// The REST API, as far as the dashboard uses it.

/** An answer that is not a success: an RFC 9457 problem, or no answer at all. */
export class Problem extends Error {
  /** @param {{detail?: string, hint?: string, code?: string, status?: number, errors?: {field: string, message: string}[]}} body */
  constructor(body) {
    super(body.detail ?? "The server did not answer.");
    this.hint = body.hint ?? "";
    this.code = body.code ?? "unreachable";
    this.status = body.status ?? 0;
    this.errors = body.errors ?? [];
  }
}

/** @param {Problem} problem @returns {Record<string, string>} what it says of fields, by the last word of their names */
export const wrongFields = (problem) => Object.fromEntries(problem.errors.map(({ field, message }) => [field.includes("basic_auth") ? "basic_auth" : field.split(".").pop(), message]));

/** The event told to the window when a call was answered with 401: the session is over. */
export const SIGNED_OUT = "signedout";

/** @returns {Promise<Response>} the answer, whatever it says. Throws Problem when there is none. */
async function send(method, path, body, headers) {
  try {
    return await fetch(path, {
      method,
      headers: { Accept: "application/json", ...(body && { "Content-Type": "application/json" }), ...headers },
      body: body && JSON.stringify(body),
      cache: "no-store",
    });
  } catch {
    throw new Problem({ detail: "Siteferry can not be reached.", hint: "Is it running? Try again in a moment." });
  }
}

/**
 * @param {string} method
 * @param {string} path
 * @param {object} [body]
 * @param {Record<string, string>} [headers]
 * @returns {Promise<any>} the JSON of the answer; null for an empty one. Throws Problem.
 */
export async function call(method, path, body, headers) {
  return read(await send(method, path, body, headers), method, path);
}

async function read(answer, method, path) {
  const json = await answer.json().catch(() => null);
  if (answer.status === 401 && !(path === "/session" && method === "POST")) dispatchEvent(new Event(SIGNED_OUT));
  if (!answer.ok) throw new Problem({ ...(json ?? {}), detail: json?.detail ?? `The server answered ${answer.status}.`, status: answer.status });
  return json;
}

/**
 * @param {string} path
 * @param {string | null} etag of the answer before
 * @returns {Promise<{body: any, etag: string | null}>} `body` is null when nothing is new. Throws Problem.
 */
export async function changed(path, etag) {
  const answer = await send("GET", path, undefined, etag ? { "If-None-Match": etag } : {});
  if (answer.status === 304) return { body: null, etag };
  return { body: await read(answer, "GET", path), etag: answer.headers.get("etag") };
}

export const get = (path) => call("GET", path);
export const post = (path, body = {}, headers = {}) => call("POST", path, body, headers);
