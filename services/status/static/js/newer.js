// Which of two answers about the same record is shown. Pure.

/** What was heard may be newer than an answer; where nothing is new, the object stays the same and is not drawn anew. */
export function newer(known, record) {
  if (!known) return record;
  if ((known.seq ?? 0) > (record.seq ?? 0)) return known;
  return Object.keys(record).every((name) => record[name] === known[name] || JSON.stringify(record[name]) === JSON.stringify(known[name])) ? known : record;
}
