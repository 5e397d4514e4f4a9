// Numbers, units, ages and times in the viewer's language and zone.

const SYMBOLS = {
  Cel: "°C", "[degF]": "°F", K: "K", "%": "%", "1": "", bar: "bar", Pa: "Pa", "m/s2": "m/s²", "m3/h": "m³/h",
  m3: "m³", "mm/s": "mm/s", deg: "°", Ohm: "Ω", "/min": "1/min", "{rpm}": "rpm", "1/min": "1/min", um: "µm",
};
const formats = new Map();
const SEVERITIES = ["", "low", "medium", "high"];

export const symbol = (unit) => (unit == null ? "" : SYMBOLS[unit] ?? unit);
export const severity = (level) => SEVERITIES[level] ?? `severity ${level}`;

export function number(value) {
  if (typeof value !== "number") return value == null ? "–" : String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e9)) return value.toExponential(2).replace("-", "−");
  return withDecimals(value, size >= 10000 ? 0 : size >= 1000 ? 1 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

export function withDecimals(value, decimals) {
  if (!formats.has(decimals)) {
    formats.set(decimals, new Intl.NumberFormat(undefined, { minimumFractionDigits: decimals, maximumFractionDigits: decimals }));
  }
  return formats.get(decimals).format(value).replace("-", "−");
}

export const count = (value) => (value == null ? "–" : withDecimals(value, 0));

export function age(seconds) {
  if (seconds < -2) return `+${age(-seconds)}`;
  const s = Math.max(0, Math.floor(seconds));
  if (s < 100) return `${s} s`;
  if (s < 100 * 60) return `${Math.floor(s / 60)} min`;
  if (s < 48 * 3600) return `${Math.floor(s / 3600)} h`;
  if (s < 730 * 86400) return `${Math.floor(s / 86400)} d`;
  return `${Math.floor(s / 31557600)} y`;
}

export function bytes(value) {
  if (value == null) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let step = 0;
  while (value >= 1000 && step < units.length - 1) { value /= 1024; step += 1; }
  return `${withDecimals(value, value < 10 && step ? 1 : 0)} ${units[step]}`;
}

export function zone(date = new Date()) {
  const minutes = -date.getTimezoneOffset();
  if (minutes === 0) return "UTC";
  const size = Math.abs(minutes);
  const two = (n) => String(n).padStart(2, "0");
  return `${minutes < 0 ? "−" : "+"}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}

const two = (n) => String(n).padStart(2, "0");
const clock = (d) => `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
const day = (d) => `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;

// Microseconds UTC as a time of day with its offset, with the date unless it is today's.
export function time(us, nowUs) {
  const date = new Date(us / 1000);
  const today = day(date) === day(new Date(nowUs / 1000));
  return `${today ? "" : `${day(date)} `}${clock(date)} ${zone(date)}`;
}

// A moment on a chart of so long a span: with its date where the span has several.
export function stamp(us, spanUs) {
  const date = new Date(us / 1000);
  return spanUs > 86400e6 ? `${day(date)} ${clock(date)}` : clock(date);
}

const STEPS_S = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200,
  86400, 172800, 604800, 1209600, 2592000, 7776000, 31536000,
];

// Round moments of the viewer's zone within a span, at most so many.
export function ticks(beginUs, endUs, most) {
  const step = STEPS_S.find((s) => (endUs - beginUs) / 1e6 / s <= most) ?? STEPS_S.at(-1);
  const shift = -new Date(beginUs / 1000).getTimezoneOffset() * 60;
  const found = [];
  for (let at = Math.ceil((beginUs / 1e6 + shift) / step) * step; (at - shift) * 1e6 <= endUs; at += step) {
    const date = new Date((at - shift) * 1000);
    found.push({ ts: (at - shift) * 1e6, words: step >= 86400 ? day(date) : step >= 60 ? clock(date).slice(0, 5) : clock(date) });
  }
  return found;
}

// A reason without what stands beside it: the series in front, detector and version behind.
export function brief(one) {
  const text = one.reason.startsWith(`${one.metric} of ${one.device}`) ? one.reason.slice(one.reason.indexOf(": ") + 2) : one.reason;
  return text.replace(/ \[[^\]]*\]$/, "");
}

const collator = new Intl.Collator(undefined, { numeric: true });
export const byName = (a, b) => collator.compare(a, b);
