// Draws the charts, each from rows of its own, and says in a tip and in a table what they show.

const views = {};
const hidden = new Set();

const seriesNames = (rows) => {
  const names = [];
  for (const row of rows) (names[row.s] ??= []).push(row.name ?? row.kind);
  return names.map((found) => (found.length > 1 ? `${found.length} others` : found[0]));
};
const MODEL_NAMES = seriesNames(report.models);
const ERROR_NAMES = seriesNames(report.errors);

const spans = {yearmonthdatehoursminutes: "5 minutes", yearmonthdatehours: "hour", yearmonthdate: "day", yearweek: "week", yearmonth: "month"};
const per = spans[report.unit];
const dayOf = new Intl.DateTimeFormat("en-GB", report.unit === "yearmonth" ? {month: "long", year: "numeric"} : {dateStyle: "medium"});
const binTime = (ms) => (report.unit.includes("hours") ? minute : dayOf).format(ms);

/** The lines at the percentiles; those that stand close together share one label. */
function markers({p50, p95, p99}, rows) {
  const lines = [["p50", p50], ["p95", p95], ["p99", p99]].filter(([, v]) => known(v)).map(([name, v]) => ({name, v: Math.max(v, 0.001)}));
  const [low, high] = durationsOf(rows), place = ({v}) => Math.log(v / low) / Math.log(high / low);
  let free = -1, shown = null;
  for (const line of lines) {
    const at = place(line), half = (NARROWEST_LABEL * line.name.length) / 2;
    if (shown && at - half < free) {
      shown.name += `, ${line.name}`;
      free += NARROWEST_LABEL * (line.name.length + 2) / 2;
      line.name = "";
    } else {
      shown = line;
      free = at + half;
    }
  }
  return lines;
}
const NARROWEST_LABEL = 0.03;  // a letter's share of the width of the narrowest chart

/** The ends of the axis of durations: at least a decade, lest one bar be as wide as the chart. */
function durationsOf(rows) {
  const low = Math.min(...rows.map((row) => row.lo)), high = Math.max(...rows.map((row) => row.hi));
  const more = Math.max(1, Math.sqrt(10 / (high / low)));
  return [low / more, high * more];
}

const UNIT_MS = {yearmonthdatehoursminutes: 300e3, yearmonthdatehours: 3600e3, yearmonthdate: 86400e3, yearweek: 604800e3, yearmonth: 2678400e3};
const FEWEST_BARS = 12;

/** The ends of the axis of time: room for some bars, lest one be as wide as the chart. */
function timesOf(rows) {
  const times = rows.map((row) => row.t), step = UNIT_MS[report.unit];
  const first = startOf(times.reduce((a, b) => Math.min(a, b))), last = startOf(times.reduce((a, b) => Math.max(a, b))) + step;
  const more = Math.max(0, FEWEST_BARS - Math.round((last - first) / step));
  return [first - Math.floor(more / 2) * step, last + Math.ceil(more / 2) * step];
}

/** A chart's specification with the ends of its horizontal axis. */
function specification(name, rows) {
  const chart = structuredClone(report.charts[name]), inTime = CHARTS[name].field;
  const {x} = (inTime ? chart : chart.layer[0]).encoding;
  x.scale = {...x.scale, domain: inTime ? timesOf(rows).map((ms) => new Date(ms).toISOString()) : durationsOf(rows)};
  return chart;
}

const times = report.time.map((row) => ({...row, tokens: known(row.input) || known(row.output) ? (row.input ?? 0) + (row.output ?? 0) : null}));

const CHARTS = {
  cost: {title: "Cost", per, rows: times, names: MODEL_NAMES, field: "cost", write: dollars, none: "No cost is known."},
  tokens: {title: "Tokens", per, rows: times, names: MODEL_NAMES, field: "tokens", write: count, none: "No token counts are known."},
  latency: {title: "Latency", rows: report.latency, names: MODEL_NAMES, percentiles: report.totals.latency, none: "No call has ended."},
  first: {title: "Time to first chunk", rows: report.first, names: MODEL_NAMES, percentiles: report.totals.first, none: "No call was streamed."},
  errors: {title: "Failed calls", per, rows: report.failures, names: ERROR_NAMES, prefix: "e", field: "n", write: count, none: "No call failed."},
};

function drawCharts() {
  drawLegend();
  for (const name of Object.keys(CHARTS)) drawChart(name);
}

function drawLegend() {
  if (MODEL_NAMES.length < 2) return;
  byId("legend").append(...MODEL_NAMES.map((name, number) =>
    el("button", {type: "button", "aria-pressed": "true", title: "Show or hide in the charts", onclick: (event) => toggle(event, number)},
      el(`span.dot.s${number}`), said(name))));
}

function toggle(event, number) {
  if (!hidden.delete(number)) hidden.add(number);
  event.currentTarget.setAttribute("aria-pressed", String(!hidden.has(number)));
  for (const [name, view] of Object.entries(views)) {
    if (name !== "errors") view.signal("hidden", [...hidden]).runAsync();
  }
}

function drawChart(name) {
  const chart = CHARTS[name], place = byId(`chart-${name}`);
  const rows = chart.field ? chart.rows.filter((row) => known(row[chart.field])) : chart.rows;
  const note = chart.per ? `per ${chart.per}` : "calls by duration";
  place.replaceChildren(el("figcaption", {}, chart.title, el("small", {}, note)));
  if (!rows.length && name === "errors") {
    place.remove();  // the table beside it says so
    return;
  }
  if (!rows.length) {
    place.append(el("p.empty", {}, chart.none));
    return;
  }
  const plot = el("div.plot", {role: "img", "aria-label": `${chart.title}, ${note}; as a table below`});
  place.append(plot, tableOf(chart, rows));
  const datasets = {rows: rows.map((row) => ({...row})), marks: chart.percentiles ? markers(chart.percentiles, rows) : []};
  const options = {mode: "vega-lite", renderer: "svg", actions: false, ast: true, defaultStyle: false, tooltip: tip(chart)};
  vegaEmbed(plot, {...specification(name, rows), datasets}, options).then(
    ({view}) => { views[name] = view; },
    (error) => plot.replaceChildren(el("p.note", {}, `This chart could not be drawn: ${error.message}`)));
}

/** What Vega calls as the pointer moves over a mark, or off it. */
const tip = (chart) => (_handler, event, item) => {
  const box = byId("tip"), datum = item?.datum;
  box.hidden = !datum || datum.s === undefined;
  if (box.hidden) return;
  const text = chart.field
    ? `${chart.write(datum[chart.field] ?? datum[`sum_${chart.field}`])} · ${binTime(datum.t ?? datum[`${report.unit}_t`])}`
    : `${plural(datum.n, "call")} · ${duration(datum.lo)} to ${duration(datum.hi)}`;
  const name = el("b", {}, el(`span.dot.${chart.prefix ?? "s"}${datum.s}`), said(chart.names[datum.s]));
  box.replaceChildren(name, text);
  const {clientX: x, clientY: y} = event, {offsetWidth: w, offsetHeight: h} = box;
  box.style.left = `${Math.max(4, x + 14 + w > innerWidth ? x - w - 10 : x + 14)}px`;
  box.style.top = `${Math.max(4, y + 14 + h > innerHeight ? y - h - 10 : y + 14)}px`;
};

/** The numbers of a chart, for those who cannot see it or want them: made when it is opened. */
function tableOf(chart, rows) {
  const place = el("div");
  const box = el("details", {ontoggle: () => box.open && !place.firstChild && place.append(numbersOf(chart, rows))},
    el("summary", {}, "As a table"), place);
  return box;
}

function numbersOf(chart, rows) {
  const name = {label: chart === CHARTS.errors ? "Error" : "Model", cell: (row) => said(chart.names[row.s])};
  if (!chart.field) {
    return table([{label: "From", cell: (row) => duration(row.lo)}, {label: "to", cell: (row) => duration(row.hi)}, name,
      {label: "Calls", n: true, cell: (row) => count(row.n)}], rows);
  }
  const sums = new Map();
  for (const row of rows) {
    const at = startOf(row.t), key = `${at} ${row.s}`;
    const found = sums.get(key) ?? {at, s: row.s, value: 0};
    found.value += row[chart.field];
    sums.set(key, found);
  }
  const ordered = [...sums.values()].sort((a, b) => a.at - b.at || a.s - b.s);
  return table([{label: `From`, cell: (row) => binTime(row.at)}, name,
    {label: chart.title, n: true, cell: (row) => chart.write(row.value)}], ordered);
}

/** The beginning of the day, hour ... that a time is in, in the viewer's zone. */
function startOf(ms) {
  const day = new Date(ms);
  if (!report.unit.includes("minutes")) day.setMinutes(0, 0, 0);
  else day.setMinutes(day.getMinutes() - (day.getMinutes() % 5), 0, 0);
  if (!report.unit.includes("hours")) day.setHours(0);
  if (report.unit === "yearweek") day.setDate(day.getDate() - day.getDay());
  if (report.unit === "yearmonth") day.setDate(1);
  return day.getTime();
}
