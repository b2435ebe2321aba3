// One trace: opened from its compressed pack, drawn as a waterfall, a span at a time in detail.

const SPANS_AT_ONCE = 400;
const places = new Map(report.traces.map((row) => [row.id, row]));
const opened = new Map();

/** Open a pack of traces; the last few stay open. */
async function unpack(number) {
  if (!opened.has(number)) {
    const packed = Uint8Array.from(atob(byId(`pack${number}`).textContent), (character) => character.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    opened.set(number, JSON.parse(await new Response(stream).text()));
    if (opened.size > 4) opened.delete(opened.keys().next().value);
  }
  return opened.get(number);
}

/** Order spans as a tree, parents before children, each with its depth; not recursive, as trees may be deep. */
function ordered(found) {
  const ids = new Set(found.map((span) => span.span_id)), below = new Map(), roots = [];
  for (const span of found) {
    if (span.parent_id && span.parent_id !== span.span_id && ids.has(span.parent_id)) {
      if (!below.has(span.parent_id)) below.set(span.parent_id, []);
      below.get(span.parent_id).push(span);
    } else roots.push(span);
  }
  const result = [], seen = new Set();
  for (const start of [...roots, ...found]) {  // the second time for circles, which have no root
    const stack = [[start, 0]];
    while (stack.length) {
      const [span, depth] = stack.pop();
      if (seen.has(span)) continue;
      seen.add(span);
      result.push([span, depth]);
      for (const child of (below.get(span.span_id) ?? []).reverse()) stack.push([child, depth + 1]);
    }
  }
  return result;
}

/** Show the trace that the address names, or none. */
async function showTrace() {
  const address = location.hash, wanted = new URLSearchParams(address.slice(1)), row = places.get(wanted.get("trace"));
  const dialog = byId("trace");
  if (!row) {
    if (dialog.open) dialog.close();
    return;
  }
  let found;
  try {
    found = (await unpack(row.pack[0]))[row.pack[1]];
    if (location.hash !== address) return;  // another one was asked for meanwhile
    shownAddress = address;
  } catch (error) {
    shownAddress = address;
    dialog.replaceChildren(dialogHead(row, []), el("p.note", {}, `This trace cannot be opened in this browser: ${error.message}`));
    if (!dialog.open) dialog.showModal();
    return;
  }
  const tree = ordered(found), chosen = found.find((span) => span.span_id === wanted.get("span")) ?? firstOfInterest(tree);
  const detail = el("section.card.detail", {"aria-live": "polite", "aria-label": "The chosen span"});
  dialog.replaceChildren(dialogHead(row, found),
    el("div.dialog-body", {}, row.bare ? el("p.note", {}, NO_MESSAGES) : null, waterfall(tree, chosen, detail), detail));
  detail.replaceChildren(...spanDetail(chosen));
  if (!dialog.open) dialog.showModal();
  dialog.querySelector('[aria-current="true"]')?.focus();
}

const NO_MESSAGES = "The messages of this trace were left out to keep the page small; --max-size raises the limit.";

/** The span to begin with: the root if it says anything, else the first that does. */
const firstOfInterest = (tree) => (tree.find(([span]) => known(span.inputs) || known(span.outputs)) ?? tree[0])[0];

const openTrace = (trace, span) => { location.hash = new URLSearchParams(span ? {trace, span} : {trace}); };

let shownAddress = "";
/** Once the dialog is closed the address names no trace, unless another one was asked for already. */
const forgetTrace = () => location.hash === shownAddress && history.pushState(null, "", location.pathname + location.search);

function dialogHead(row, found) {
  const close = el("button", {type: "button", "aria-label": "Close", onclick: () => byId("trace").close()}, "Close ✕");
  return el("header.dialog-head", {}, el("div", {}, el("h2", {id: "trace-title"}, said(row.name)), close),
    facts({Started: when(row.t), Took: duration(row.d), Spans: found.length ? count(found.length) : null, Calls: count(row.calls),
      Tokens: sum(row.tokens, count), Cost: sum(row.cost, dollars), "Session, user": row.who ? said(row.who) : null, Trace: said(row.id)}));
}

const facts = (pairs) => el("dl.facts", {}, Object.entries(pairs).filter(([, value]) => known(value))
  .map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));

function waterfall(tree, chosen, detail) {
  const from = tree.reduce((least, [span]) => Math.min(least, span.start), Infinity);
  const to = tree.reduce((most, [span]) => Math.max(most, span.end ?? span.start), from + 0.001);
  const box = el("section.card.waterfall", {"aria-label": "Spans over time; move with the arrow keys"});
  const quarters = [0, 1, 2, 3, 4].map((part) => el("span", {}, part ? duration(((to - from) / 4e3) * part) : "0"));
  box.append(el("div.scale", {"aria-hidden": "true"}, el("span"), el("span.ticks", {}, quarters), el("span")));
  const draw = (first) => {
    const rows = tree.slice(first, first + SPANS_AT_ONCE).map(([span, depth]) => barRow(span, depth, {from, to, chosen, detail}));
    const left = tree.length - first - rows.length;
    box.append(...rows);
    if (left > 0) {
      const more = el("button", {type: "button", onclick: () => { more.remove(); draw(first + SPANS_AT_ONCE); }}, `Show ${plural(left, "more span")}`);
      box.append(more);
    }
  };
  draw(0);
  box.addEventListener("keydown", moveAmongRows);
  return box;
}

function barRow(span, depth, {from, to, chosen, detail}) {
  const failed = span.status?.code === "ERROR", width = to - from;
  const bar = el(`span.bar.${colourOf(span)}${failed ? ".failed" : ""}${known(span.end) ? "" : ".unended"}`);
  bar.style.left = `${(100 * (span.start - from)) / width}%`;
  bar.style.width = `${Math.max(0, (100 * ((span.end ?? to) - span.start)) / width)}%`;
  const track = el("span.track", {}, bar), first = span.attributes?.["gen_ai.response.time_to_first_chunk"];
  if (typeof first === "number") {
    const tick = el("span.tick", {title: `first chunk after ${duration(first)}`});
    tick.style.left = `${Math.min(100, (100 * (span.start + first * 1000 - from)) / width)}%`;
    track.append(tick);
  }
  const label = el("span.label", {}, el("span.badge", {}, span.kind), failed ? el("span.bad", {title: "failed"}, "✗") : null, said(span.name));
  label.style.paddingInlineStart = `${Math.min(depth, 12) * 0.9}rem`;
  const row = el("button.bar-row", {type: "button", "aria-current": span === chosen ? "true" : null, "data-span": span.span_id},
    label, track, el("span.time", {}, known(span.end) ? duration((span.end - span.start) / 1000) : "not ended"));
  row.addEventListener("click", () => choose(row, span, detail));
  return row;
}

const colourOf = (span) => {
  const name = span.attributes?.["gen_ai.request.model"] ?? span.attributes?.["gen_ai.response.model"];
  const found = ["AGENT", "CHAIN", "TOOL", "INTERNAL"].includes(span.kind) ? null : report.models.find((row) => row.name === name);
  return found ? `s${found.s}` : "k-plain";
};

function choose(row, span, detail) {
  row.parentElement.querySelector('[aria-current="true"]')?.removeAttribute("aria-current");
  row.setAttribute("aria-current", "true");
  detail.replaceChildren(...spanDetail(span));
}

function moveAmongRows(event) {
  const rows = [...event.currentTarget.querySelectorAll(".bar-row")], at = rows.indexOf(document.activeElement);
  const to = {ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1}[event.key];
  if (to === undefined || at < 0 || !rows[to]) return;
  event.preventDefault();
  rows[to].focus();
  rows[to].click();
}

function spanDetail(span) {
  const attributes = span.attributes ?? {};
  return [
    el("h2", {}, said(span.name)),
    facts(spanFacts(span, attributes)),
    ...failure(span),
    ...conversation(span),
    ...parameters(span),
    ...(Object.keys(attributes).length ? [folded("Attributes", () => pairs(attributes))] : []),
    ...(span.events?.length ? [folded(plural(span.events.length, "event"), () => eventList(span))] : []),
    folded("The span as JSON", () => code(span)),
  ];
}

function spanFacts(span, attributes) {
  const usage = span.usage ?? {}, cost = span.cost ?? {};
  const guess = (side) => (attributes[`trace.usage.${side}_source`] ?? usage.source) === "estimated";
  const isCall = span.usage || span.cost || colourOf(span) !== "k-plain";
  return {
    Took: known(span.end) ? duration((span.end - span.start) / 1000) : "not ended",
    "First chunk": known(attributes["gen_ai.response.time_to_first_chunk"]) ? duration(attributes["gen_ai.response.time_to_first_chunk"]) : null,
    Model: attributes["gen_ai.request.model"] ? said(attributes["gen_ai.request.model"]) : null,
    Provider: attributes["gen_ai.provider.name"] ? said(attributes["gen_ai.provider.name"]) : null,
    "Tokens in": isCall ? figure(usage.input, count, guess("input")) : null,
    "of them cached": known(usage.cache_read) ? count(usage.cache_read) : null,
    "Tokens out": isCall ? figure(usage.output, count, guess("output")) : null,
    "of them reasoning": known(usage.reasoning) ? count(usage.reasoning) : null,
    Cost: isCall ? figure(cost.total, dollars, guess("input") || guess("output")) : null,
    Saved: known(cost.saved) ? dollars(cost.saved) : null,
    Ended: ["completed", undefined].includes(attributes["trace.stream.ending"]) ? null : said(attributes["trace.stream.ending"]),
    Finish: attributes["gen_ai.response.finish_reasons"] ? said(list(attributes["gen_ai.response.finish_reasons"]).join(", ")) : null,
  };
}

function failure(span) {
  if (span.status?.code !== "ERROR") return [];
  const raised = (span.events ?? []).find((event) => event.name === "exception")?.attributes ?? {};
  const kind = span.attributes?.["error.type"] ?? raised["exception.type"] ?? "Error";
  const text = span.status.description ?? raised["exception.message"] ?? "";
  const stack = raised["exception.stacktrace"];
  return [el("div.error-box", {}, el("b.bad", {}, said(kind)), longText(String(text)), stack ? folded("Stack", () => code(stack)) : null)];
}

function conversation(span) {
  if (span.bare) return [];
  const shown = [];
  for (const [title, value, messages] of [["Input", span.inputs, asked(span.inputs)], ["Output", span.outputs, answered(span.outputs)]]) {
    if (!known(value)) continue;
    shown.push(el("h3", {}, title), ...(messages ? messages.map(messageBox) : [code(value)]));
  }
  return shown.length ? shown : [el("p.muted", {}, "No messages were recorded.")];
}

const SHOWN_ABOVE = new Set(["messages", "contents", "input", "prompt", "query", "model", "system", "instructions", "system_instruction"]);

function parameters(span) {
  if (!isObject(span.inputs) || !asked(span.inputs)) return [];
  const rest = Object.entries(span.inputs).filter(([name]) => !SHOWN_ABOVE.has(name));
  return rest.length ? [el("h3", {}, "Parameters"), pairs(Object.fromEntries(rest))] : [];
}

const pairs = (values) => el("dl.pairs", {}, Object.entries(values).flatMap(([name, value]) =>
  [said(name, "dt"), el("dd", {}, isObject(value) || Array.isArray(value) ? code(value) : longText(String(value), "span.said"))]));

const eventList = (span) => el("div", {}, span.events.map((event) => el("div", {},
  el("h3", {}, said(event.name), ` after ${duration(Math.max(0, event.time_ns / 1e6 - span.start) / 1000)}`), pairs(event.attributes ?? {}))));
