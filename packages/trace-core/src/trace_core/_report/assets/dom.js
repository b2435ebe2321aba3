// Makes elements. Whatever comes from a trace becomes text, never markup.

const report = JSON.parse(document.getElementById("data").textContent);
for (const name of ["time", "failures", "traces"]) {
  const {keys, rows} = report[name];
  report[name] = rows.map((row) => Object.fromEntries(keys.map((key, number) => [key, row[number]])));
}
const byId = (id) => document.getElementById(id);

/** Make an element: `el("td.n", {title: "..."}, "text", child)`. Children that are null are left out. */
function el(kind, attributes = {}, ...children) {
  const [tag, ...classes] = kind.split(".");
  const made = document.createElement(tag);
  if (classes.length) made.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** Text from a trace: kept apart from its surroundings, whatever direction it is written in. */
const said = (text, kind = "span") => el(`${kind}.data`, {}, String(text));

/** A name with the colour that it has in the charts. */
const named = (colour, name) => el("div.named", {}, el(`span.dot.${colour}`), said(name));

/** Long text of one cell, cut after two lines, whole on hover. */
const clipped = (text) => el("span.data.clip", {title: text.length > 60 ? text : null}, text);

/** Make a table of columns {label, cell, n, wide, spare, roomy, order} and rows. */
function table(columns, rows, {caption, row = () => ({})} = {}) {
  const head = columns.map((column) => heading(column));
  const body = rows.map((item) =>
    el("tr", row(item), columns.map((column) =>
      el(column.head ? "th" : "td", {class: classOf(column), scope: column.head ? "row" : null}, column.cell(item)))));
  return el("table", {}, caption ? el("caption", {}, caption) : null,
    el("thead", {}, el("tr", {}, head)), el("tbody", {}, body));
}

function heading(column) {
  const label = column.onsort ? el("button", {type: "button", onclick: column.onsort}, column.label) : column.label;
  return el("th", {scope: "col", class: classOf(column), "aria-sort": column.order ?? null}, label);
}

const classOf = (column) => [column.n ? "n" : "", column.wide ? "wide" : "", column.spare ? "spare" : "", column.roomy ? "roomy" : ""].join(" ").trim() || null;

const started = (ms) => el("time.muted", {datetime: new Date(ms).toISOString(), title: when(ms)}, shortly(ms));
