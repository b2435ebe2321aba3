// Writes numbers and times for people. What is not known is a dash, never 0; an estimate has a "~".

const UNKNOWN = "–";
const whole = new Intl.NumberFormat("en", {maximumFractionDigits: 0});
const short = new Intl.NumberFormat("en", {notation: "compact", maximumSignificantDigits: 3});
const digits = new Intl.NumberFormat("en", {maximumSignificantDigits: 3});
const moment = new Intl.DateTimeFormat("en-GB", {dateStyle: "medium", timeStyle: "medium"});
const year = new Date().getFullYear();
const thisYear = new Intl.DateTimeFormat("en-GB", {day: "numeric", month: "short", hour: "2-digit", minute: "2-digit"});
const minute = new Intl.DateTimeFormat("en-GB", {dateStyle: "medium", timeStyle: "short"});
const zone = new Intl.DateTimeFormat("en-GB", {timeZoneName: "longOffset"});

const known = (value) => value !== null && value !== undefined;
const unknown = (what = "not known") => el("span.muted", {title: what, "aria-label": what}, UNKNOWN);

/** Write an amount in USD as the terminal does: `money` of trace_core._view.units, which a test compares. */
function dollars(value) {
  if (!known(value)) return UNKNOWN;
  const size = Math.abs(value), places = decimalsOf(size), smallest = 10 ** -places;
  if (size > 0 && size < smallest / 2) return `<$${smallest.toFixed(places)}`;
  const number = size.toLocaleString("en", {minimumFractionDigits: places, maximumFractionDigits: places, roundingMode: "halfEven"});
  return `${value < 0 ? "-" : ""}$${number}`;
}

const decimalsOf = (size) => (size === 0 || size >= 1 ? 2 : Math.min(6, Math.max(2, 1 - Math.floor(Math.log10(size)))));

function duration(seconds) {
  if (!known(seconds)) return UNKNOWN;
  if (seconds < 0.01) return `${digits.format(seconds * 1000)} ms`;
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 59.95) return `${seconds.toFixed(seconds < 9.995 ? 2 : 1)} s`;
  const all = Math.round(seconds), hours = Math.floor(all / 3600), minutes = Math.floor((all % 3600) / 60);
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${hours} h ${two(minutes)} min` : `${minutes} min ${two(all % 60)} s`;
}

const count = (value) => (known(value) ? whole.format(value) : UNKNOWN);
const plural = (n, one, many = `${one}s`) => `${whole.format(n)} ${n === 1 ? one : many}`;
const share = (part, all) => (all ? `${digits.format((100 * part) / all)}%` : UNKNOWN);
const when = (ms) => (known(ms) ? moment.format(ms) : UNKNOWN);
const shortly = (ms) => (new Date(ms).getFullYear() === year ? thisYear : minute).format(ms);
const zoneName = (ms) => {
  const offset = zone.formatToParts(ms).find((part) => part.type === "timeZoneName").value;
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return offset === name || offset === "GMT" ? name : `${name} (${offset.replace("GMT", "UTC")})`;
};

/** Write a sum [value, missing, estimated]; `write` writes the value. */
function sum([value, missing, estimated], write, of = "calls") {
  if (!known(value)) return unknown(`not known of ${whole.format(missing)} ${of}`);
  const notes = [
    estimated ? `estimated for ${whole.format(estimated)} ${of}` : "",
    missing ? `not known of ${whole.format(missing)} more ${of}` : "",
  ].filter(Boolean).join("; ");
  const text = `${estimated ? "~" : ""}${write(value)}`;
  return el("span", {title: notes || null}, text, missing ? el("span.muted", {"aria-label": "and unknown"}, " + ?") : null);
}

/** Write one value that may be an estimate. */
const figure = (value, write, estimated) => (known(value) ? `${estimated ? "~" : ""}${write(value)}` : unknown());
