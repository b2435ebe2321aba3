// The list of traces: searched, filtered and sorted here, so many rows at a time.

const ROWS_AT_ONCE = 50;
const order = {by: "t", down: true};
let rowsShown = ROWS_AT_ONCE;

const SORTS = {
  t: (row) => row.t, name: (row) => row.name.toLowerCase(), d: (row) => row.d, calls: (row) => row.calls,
  tokens: (row) => row.tokens[0], cost: (row) => row.cost[0],
};
const searched = new Map(report.traces.map((row) => [row, [row.name, row.text, row.who, row.id, row.error ?? ""].join("\n").toLowerCase()]));

function chosenTraces() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean), kind = byId("kind").value, model = byId("model").value;
  return report.traces.filter((row) =>
    (!model || row.models.includes(Number(model))) && (kind !== "failed" || row.failed) && (kind !== "unpriced" || row.cost[1])
    && words.every((word) => searched.get(row).includes(word)));
}

/** Sort rows; what is not known comes last either way. */
function sorted(rows) {
  const value = SORTS[order.by], sign = order.down ? -1 : 1;
  return rows.sort((a, b) => {
    const one = value(a), other = value(b);
    if (!known(one) || !known(other)) return known(other) - known(one);
    return one < other ? -sign : one > other ? sign : 0;
  });
}

function drawList() {
  const rows = sorted(chosenTraces()), left = rows.length - rowsShown;
  byId("found").textContent = rows.length === report.traces.length ? plural(rows.length, "trace") : `${count(rows.length)} of ${plural(report.traces.length, "trace")}`;
  const none = el("p.empty", {}, report.traces.length ? "No trace is like that." : "There are no traces.");
  byId("list").replaceChildren(rows.length ? table(listColumns(), rows.slice(0, rowsShown), {row: clickable}) : none);
  byId("more").hidden = left <= 0;
  byId("more").textContent = `Show ${count(Math.min(left, 2 * ROWS_AT_ONCE))} more of ${count(left)}`;
}

const clickable = (row) => ({class: "open", onclick: (event) => event.target.closest("button") || openTrace(row.id)});

function listColumns() {
  const sortable = (by, column) => ({...column, order: order.by === by ? (order.down ? "descending" : "ascending") : null,
    onsort: () => { Object.assign(order, {by, down: order.by === by ? !order.down : by !== "name"}); drawList(); }});
  return [
    sortable("t", {label: "Started", n: false, cell: (row) => started(row.t)}),
    sortable("name", {label: "Trace", wide: true, cell: (row) => [
      el("button.link", {type: "button", onclick: () => openTrace(row.id)}, said(row.name)), " ", stateOf(row),
      row.text ? el("div.muted", {}, clipped(row.text)) : null]}),
    {label: "Models", spare: true, cell: (row) => modelNames(row.models)},
    sortable("calls", {label: "Calls", n: true, spare: true, cell: (row) => count(row.calls)}),
    sortable("d", {label: "Took", n: true, cell: (row) => figure(row.d, duration)}),
    sortable("tokens", {label: "Tokens", n: true, spare: true, cell: (row) => (row.calls ? sum(row.tokens, count) : unknown("no calls"))}),
    sortable("cost", {label: "Cost", n: true, cell: (row) => (row.calls ? sum(row.cost, dollars) : unknown("no calls"))}),
  ];
}

function stateOf(row) {
  if (row.error) return el("span.badge.bad", {}, said(row.error));
  return row.failed ? el("span.badge.warn", {title: "failed spans in a trace that went well"}, `${count(row.failed)} failed inside`) : null;
}

function modelNames(numbers) {
  const first = numbers.slice(0, 2).map((number) => named(`s${report.models[number].s}`, report.models[number].name));
  return [...first, numbers.length > 2 ? el("div.muted", {}, `and ${numbers.length - 2} more`) : null];
}

function startList() {
  byId("model").append(el("option", {value: ""}, "all models"), ...report.models.map((row, number) => el("option", {value: number}, row.name)));
  byId("filters").addEventListener("input", () => { rowsShown = ROWS_AT_ONCE; drawList(); });
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("more").addEventListener("click", () => { rowsShown += 2 * ROWS_AT_ONCE; drawList(); });
  drawList();
}
