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

/** The event told to the window when a call was answered with 401: the session is over. */
export const SIGNED_OUT = "signedout";

/**
 * @param {string} method
 * @param {string} path
 * @param {object} [body]
 * @returns {Promise<any>} the JSON of the answer; null for an empty one. Throws Problem.
 */
export async function call(method, path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: { Accept: "application/json", ...(body && { "Content-Type": "application/json" }) },
      body: body && JSON.stringify(body),
      cache: "no-store",
    });
  } catch {
    throw new Problem({ detail: "Siteferry can not be reached.", hint: "Is it running? Try again in a moment." });
  }
  const json = await answer.json().catch(() => null);
  if (answer.status === 401 && !(path === "/session" && method === "POST")) dispatchEvent(new Event(SIGNED_OUT));
  if (!answer.ok) throw new Problem({ ...(json ?? {}), detail: json?.detail ?? `The server answered ${answer.status}.`, status: answer.status });
  return json;
}

export const get = (path) => call("GET", path);
export const post = (path, body = {}) => call("POST", path, body);
