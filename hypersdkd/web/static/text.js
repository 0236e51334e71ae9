// Numbers, times and foreign names as text.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** Seconds as two units at most: 42s, 3m 20s, 5h 1m, 2d 4h; a dash for what is not known. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m ${s % 60}s`;
  if (s < 86_400) return `${Math.floor(s / 3600)}h ${Math.floor((s % 3600) / 60)}m`;
  return `${Math.floor(s / 86_400)}d ${Math.floor((s % 86_400) / 3600)}h`;
}

/** Bytes with a binary unit and three digits or so. */
export function bytes(count) {
  if (!Number.isFinite(count)) return "–";
  const power = Math.min(UNITS.length - 1, count < 1 ? 0 : Math.floor(Math.log2(count) / 10));
  const value = count / 1024 ** power;
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[power]}`;
}

/** An RFC 3339 time in the reader's own zone and manner. */
export function clock(time) {
  const moment = new Date(time ?? NaN);
  return Number.isNaN(moment.getTime()) ? "–" : moment.toLocaleString();
}

/** The same, short: of today only the time of day. */
export function shortClock(time) {
  const moment = new Date(time ?? NaN);
  const today = moment.toDateString() === new Date().toDateString();
  const style = today ? { timeStyle: "medium" } : { dateStyle: "short", timeStyle: "short" };
  return Number.isNaN(moment.getTime()) ? "–" : moment.toLocaleString(undefined, style);
}

/** A foreign text on one line: what cannot be seen, or turns other text around, becomes an escape. */
export function visible(text) {
  return String(text).replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu,
    (sign) => `\\u{${sign.codePointAt(0).toString(16)}}`,
  );
}

export const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
