// The page: totals, tables and notes; then the charts, the list of traces, and the trace that is opened.

function drawTiles() {
  const all = report.totals, tile = (label, value, ...more) =>
    el("div.card.tile", {}, el("div.label", {}, label), el("div.value", {}, ...[value].flat()), more.filter(Boolean).map((text) => el("div.more", {}, text)));
  const partial = ([, missing, estimated]) => [estimated ? `estimated for ${plural(estimated, "call")}` : "", missing ? `unknown for ${plural(missing, "call")}` : ""];
  const quantiles = ({n, p95, p99}) => (n ? [`p95 ${duration(p95)}`, `p99 ${duration(p99)}`] : []);
  byId("tiles").append(
    tile("Calls", count(all.calls), `in ${plural(report.traces.length, "trace")}`, all.hits ? `${count(all.hits)} from the cache` : ""),
    tile("Cost", sum(all.cost, dollars), ...partial(all.cost), known(all.saved) ? `${dollars(all.saved)} saved by the cache` : ""),
    tile("Tokens", [tokenText(all), all.input[1] || all.output[1] ? el("span.muted", {}, " + ?") : null], `in ${tokenText(all, "input")} · out ${tokenText(all, "output")}`, ...partial(worse(all.input, all.output))),
    tile("Errors", el(all.errors ? "span.bad" : "span", {}, count(all.errors)), all.calls ? `${share(all.errors, all.calls)} of the calls` : ""),
    tile("Latency, median", figure(all.latency.p50, duration), ...quantiles(all.latency)),
    tile("First chunk, median", figure(all.first.p50, duration), ...quantiles(all.first), all.first.n ? `of ${plural(all.first.n, "stream")}` : "nothing was streamed"));
}

const worse = (one, other) => [null, Math.max(one[1], other[1]), Math.max(one[2], other[2])];

function tokenText(row, ...sides) {
  const parts = (sides.length ? sides : ["input", "output"]).map((side) => row[side]), values = parts.map(([value]) => value).filter(known);
  return values.length ? `${parts.some((part) => part[2]) ? "~" : ""}${short.format(values.reduce((a, b) => a + b, 0))}` : UNKNOWN;
}

function drawModels() {
  const columns = [
    {label: "Model", head: true, wide: true, cell: (row) => named(`s${row.s}`, row.name)},
    {label: "Calls", n: true, cell: (row) => count(row.calls)},
    {label: "Errors", n: true, cell: (row) => (row.errors ? el("span.bad", {}, `${count(row.errors)} (${share(row.errors, row.calls)})`) : "0")},
    {label: "Median", n: true, cell: (row) => figure(row.latency.p50, duration)},
    {label: "p95", n: true, spare: true, cell: (row) => figure(row.latency.p95, duration)},
    {label: "First chunk", n: true, roomy: true, absent: !report.totals.first.n, cell: (row) => figure(row.first.p50, duration)},
    {label: "Tokens in", n: true, cell: (row) => sum(row.input, count)},
    {label: "Tokens out", n: true, cell: (row) => sum(row.output, count)},
    {label: "Cost", n: true, cell: (row) => sum(row.cost, dollars)},
    {label: "Per call", n: true, roomy: true, cell: perCall},
    {label: "Saved", n: true, roomy: true, absent: !known(report.totals.saved), cell: (row) => figure(row.saved, dollars)},
  ].filter((column) => !column.absent);
  byId("models").append(report.models.length ? table(columns, report.models) : el("p.empty", {}, "No model was called."));
}

/** What a call costs on average, of those of which it is known. */
function perCall(row) {
  const [value, , estimated, priced] = row.cost;
  return figure(known(value) ? value / priced : null, dollars, estimated);
}

function drawErrors() {
  if (!report.errors.length) {
    byId("errors").append(el("p.empty", {}, "No call failed."));
    return;
  }
  byId("errors").append(table([
    {label: "Kind", head: true, wide: true, cell: (row) => [named(`e${row.s}`, row.kind), row.message ? el("div.muted", {}, clipped(row.message)) : null]},
    {label: "Status", cell: (row) => (row.statuses.length ? row.statuses.join(", ") : unknown())},
    {label: "Calls", n: true, cell: (row) => count(row.n)},
    {label: "Models", spare: true, cell: (row) => [...row.models.slice(0, 2).map((name) => el("div", {}, said(name))), row.models.length > 2 ? el("div.muted", {}, `and ${row.models.length - 2} more`) : null]},
    {label: "Last one", cell: (row) => el("button.link", {type: "button", onclick: () => openTrace(row.trace, row.span)}, started(row.last))},
  ], report.errors));
}

function drawExtremes() {
  const model = {label: "Call", wide: true, cell: (row) => [el("button.link", {type: "button", onclick: () => openTrace(row.trace_id, row.span_id)}, said(row.name)), " ", row.error ? el("span.badge.bad", {}, said(row.error)) : null]};
  const begun = {label: "Started", cell: (row) => started(row.start_ms)};
  const tokens = {label: "Tokens", n: true, cell: (row) => (known(row.input) || known(row.output) ? [figure(row.input, count, row.input_estimated), " → ", figure(row.output, count, row.output_estimated)] : unknown())};
  const took = {label: "Took", n: true, cell: (row) => figure(row.seconds, duration)};
  const cost = {label: "Cost", n: true, cell: (row) => figure(row.cost, dollars, row.input_estimated || row.output_estimated)};
  const fill = (id, columns, rows, none) => byId(id).append(rows.length ? table(columns, rows) : el("p.empty", {}, none));
  fill("slowest", [took, model, tokens, cost, begun], report.slowest, "No call has ended.");
  fill("dearest", [cost, model, tokens, took, begun], report.dearest, "No cost is known.");
}

function drawAbout() {
  const about = report.about, period = known(about.from) ? `${minute.format(about.from)} to ${minute.format(about.to)}` : "no calls";
  document.title = `LLM calls · ${about.source}`;
  const only = about.filters.length ? [" · only ", said(about.filters.join(", "))] : [];
  byId("about").append(said(about.source), ...only, ` · ${period} · times in ${zoneName(about.to ?? about.made)}`);
  const notes = [
    `Made ${when(about.made)} by trace-core ${about.version} from ${plural(about.spans, "span")}.`,
    `“${UNKNOWN}” is not known, “~” is estimated or includes estimates, “+ ?” is a sum of which a part is not known. Calls that failed count as costing nothing where no cost is known.`,
    `Texts of over ${count(about.longest_text)} characters are cut.`,
    about.bare ? `The messages of ${plural(about.bare, "trace")} were left out, to keep those of all others within ${short.format(about.most_bytes / 1e6)} MB: --max-size raises that.` : "",
  ];
  byId("notes").append(...notes.filter(Boolean).map((text) => el("p", {}, text)));
}

function watchTrace() {
  const dialog = byId("trace");
  dialog.addEventListener("close", forgetTrace);
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  addEventListener("hashchange", showTrace);
  showTrace();
}

drawAbout();
drawTiles();
drawModels();
drawErrors();
drawExtremes();
drawCharts();
startList();
watchTrace();
