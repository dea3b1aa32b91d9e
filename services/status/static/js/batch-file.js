// What is pasted or dropped as a batch: JSON, JSON Lines, CSV with a header, or lines of address, user, password. Pure.

import { siteAddress } from "./site-address.js";

const MOST = 1000;
const LISTS = ["exclude_tables", "exclude_paths", "allow_http"];
const COLUMNS = ["source_url", "username", "password", "pairing_key", "name", "ttl", "ttl_minutes", "priority", ...LISTS];
const PLAIN = ["source_url", "username", "password", "name"];
const MINUTES = { m: 1, min: 1, h: 60, d: 1440 };

/** @typedef {{clones: any[], lines: number[], defaults: any}} Rows clones as POST /batches takes them, and the line each begins at */

/** What is wrong with a text, with its line. */
export class Wrong extends Error {}

/** @param {string} text @returns {Rows} throws Wrong */
export function readBatch(text) {
  const first = text.trim()[0];
  if (!first) throw new Wrong("There are no sites yet.");
  const rows = first === "[" || first === "{" ? json(text) : csv(text);
  if (!rows.clones.length) throw new Wrong("There are no sites yet.");
  if (rows.clones.length > MOST) throw new Wrong(`These are ${rows.clones.length.toLocaleString("en")} sites; a batch has at most 1,000. Split it.`);
  return rows;
}

/** @param {{field: string, message: string}} error of the server @param {Rows} rows @returns {string} the same with the line a person wrote */
export function byLine({ field, message }, rows) {
  const found = /^clones\.(\d+)\.?(.*)$/.exec(field);
  const line = found && rows.lines[Number(found[1])];
  return line ? `Line ${line}: ${found[2]} ${message}`.replace(":  ", ": ") : `${field} ${message}`;
}

function json(text) {
  const parsed = parse(text);
  if (parsed === undefined) return jsonLines(text);
  const body = Array.isArray(parsed) ? { clones: parsed } : "clones" in parsed ? parsed : { clones: [parsed] };
  if (!Array.isArray(body.clones)) throw new Wrong('The file must be a list of clones, or {"defaults": {…}, "clones": […]}.');
  return { clones: body.clones.map((clone, at) => checked(clone, at + 1, "Clone")), lines: [], defaults: body.defaults ?? {} };
}

function jsonLines(text) {
  const rows = { clones: [], lines: [], defaults: {} };
  text.split("\n").forEach((line, at) => {
    if (!line.trim()) return;
    const value = parse(line);
    if (value === undefined) throw new Wrong(`Line ${at + 1} is not valid JSON.`);
    rows.clones.push(checked(value, at + 1, "Line"));
    rows.lines.push(at + 1);
  });
  return rows;
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function checked(value, at, what) {
  if (!value || typeof value !== "object" || Array.isArray(value)) throw new Wrong(`${what} ${at} is not an object with source_url, username and password.`);
  return { ...value, source_url: address(value.source_url, at, what) };
}

function address(value, at, what = "Line") {
  const text = typeof value === "string" ? value.trim() : "";
  if (!text) throw new Wrong(`${what} ${at} has no address.`);
  const { address: found, wrong } = siteAddress(text);
  if (wrong) throw new Wrong(`${what} ${at}: ${wrong}.`);
  return found;
}

function csv(text) {
  const head = text.trimStart().split("\n", 1)[0];
  const delimiter = [",", ";", "\t"].sort((a, b) => head.split(b).length - head.split(a).length)[0];
  const [top, ...rest] = records(text, delimiter);
  const names = top.cells.map((cell) => cell.trim().toLowerCase());
  const titled = names.includes("source_url");
  const unknown = titled && names.find((name, at) => !COLUMNS.includes(name) || names.indexOf(name) !== at);
  if (unknown !== undefined && unknown !== false) throw new Wrong(`Line ${top.line}: ${unknown || "an empty name"} is not a column, or is there twice. Columns: ${COLUMNS.join(", ")}.`);
  const rows = titled ? rest : [top, ...rest];
  return { clones: rows.map((row) => clone(row, titled ? names : PLAIN, titled)), lines: rows.map(({ line }) => line), defaults: {} };
}

/** The records of a text that are not empty; quotes as in RFC 4180. */
function records(text, delimiter) {
  const found = [];
  let cells = [], cell = "", quoted = false, line = 1, begun = 1;
  const end = () => {
    cells.push(cell);
    if (cells.some((one) => one.trim())) found.push({ cells, line: begun });
    [cells, cell, begun] = [[], "", line];
  };
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at];
    if (char === "\n") line += 1;
    if (quoted) {
      if (char !== '"') cell += char;
      else if (text[at + 1] === '"') (cell += '"'), (at += 1);
      else quoted = false;
    } else if (char === '"' && !cell) quoted = true;
    else if (char === delimiter) cells.push(cell), (cell = "");
    else if (char === "\n") end();
    else if (char !== "\r") cell += char;
  }
  if (quoted) throw new Wrong(`Line ${begun} has a quote that is not closed.`);
  end();
  return found;
}

function clone({ cells, line }, names, exact) {
  if (exact ? cells.length !== names.length : cells.length > names.length) throw new Wrong(`Line ${line} has ${cells.length} fields, ${exact ? `the header has ${names.length}` : "four are known: address, user, password, name"}.`);
  const given = Object.fromEntries(cells.map((cell, at) => [names[at], names[at] === "password" && exact ? cell : cell.trim()]).filter(([, cell]) => cell.trim()));
  const { ttl, ttl_minutes: minutes, source_url: site, ...rest } = given;
  const made = { ...rest, source_url: address(site, line) };
  if (ttl ?? minutes) made.ttl_minutes = time(ttl ?? minutes, line);
  const options = {};
  for (const name of LISTS) {
    if (!(name in made)) continue;
    options[name] = made[name].split("|").map((part) => part.trim()).filter(Boolean);
    delete made[name];
  }
  return Object.keys(options).length ? { ...made, options } : made;
}

function time(text, line) {
  const found = /^(\d{1,6})\s*(m|min|h|d)?$/.exec(text.trim().toLowerCase());
  if (!found) throw new Wrong(`Line ${line}: ${text} is not a time like 90m, 12h or 7d.`);
  return Number(found[1]) * (MINUTES[found[2]] ?? 1);
}
