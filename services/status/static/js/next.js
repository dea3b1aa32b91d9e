// What may help after a job that did not complete. Pure.

const LOGIN = new Set(["wrong_password", "unknown_user", "not_administrator", "login_locked_out"]);
const FORGOTTEN = new Set(["secret_gone", "invalid_command"]);
/** A person can sign in where a program can not, or the key was no good. */
const KEY = new Set(["two_factor_required", "captcha_required", "sso_only", "login_hidden", "host_challenge", "sign_in_refused", "sign_in_failed", "session_lost", "install_failed", "filesystem_not_direct", "upload_rejected", "bad_pairing_key", "connector_refused"]);
/** Those among them that end the same way however often they are tried: only a person, or another key, gets further. */
const PERSON = new Set(["two_factor_required", "sso_only", "bad_pairing_key"]);
const ADDRESS = new Set(["invalid_address", "host_not_found", "address_refused", "address_error", "not_wordpress"]);
/** Restores that end the same way again unless they are asked for differently. */
const OTHERWISE = new Set(["production_would_lose", "rolled_back", "version_mismatch", "schema_drift", "unsupported_tables", "row_refused", "target_path_conflict", "table_not_exchangeable", "stage_lost"]);
const HOPELESS = new Set(["multisite_unsupported", "snapshot_gone"]);

/**
 * @typedef {object} Next
 * @property {boolean} retry whether running the same job again may end otherwise
 * @property {string} anew what asking for it anew is called; empty: it would not help
 * @property {boolean} [byKey] whether a pairing key is the way in to offer
 */

/** @param {any} job @param {boolean} forgotten whether its login is known to be gone @returns {Next} */
export function next(job, forgotten = false) {
  const code = job.error?.code;
  if (!["failed", "cancelled"].includes(job.status) || HOPELESS.has(code)) return { retry: false, anew: "" };
  const gone = forgotten || job.status === "cancelled" || FORGOTTEN.has(code);
  if (job.type === "restore") return after(job, gone || LOGIN.has(code), OTHERWISE.has(code));
  if (job.action === "refresh") {
    const otherwise = gone || code === "clone_edited" || LOGIN.has(code) || PERSON.has(code);
    return { retry: !otherwise, anew: otherwise || KEY.has(code) ? "Refresh this clone again" : "", byKey: KEY.has(code) };
  }
  if (gone) return { retry: false, anew: "Start again" };
  if (LOGIN.has(code)) return { retry: false, anew: "Start again with another password" };
  if (KEY.has(code)) return { retry: !PERSON.has(code), anew: "Start again with a pairing key", byKey: true };
  if (ADDRESS.has(code)) return { retry: true, anew: "Start again with another address" };
  return { retry: true, anew: "" };
}

function after(job, gone, otherwise) {
  if ((job.action ?? "restore") === "restore") return { retry: !gone && !otherwise, anew: gone || otherwise ? "Restore this clone again" : "" };
  return { retry: !gone, anew: gone ? "To the snapshot" : "" };
}
