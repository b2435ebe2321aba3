// Shows what went into a span and what came out: as a conversation where it is one, else as JSON.

const LONG = 2500;

/** Text of any length: what is long is cut until asked for. */
function longText(text, kind = "div.said") {
  const box = el(kind, {}, text.length > LONG ? `${text.slice(0, LONG)}…` : text);
  if (text.length <= LONG) return box;
  const more = el("button.link", {type: "button", onclick: () => { box.textContent = text; more.remove(); }},
    `Show all ${whole.format(text.length)} characters`);
  return el("div", {}, box, more);
}

const pretty = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));
const code = (value) => longText(pretty(value), "pre");
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const list = (value) => (Array.isArray(value) ? value : known(value) ? [value] : []);

/** The messages in a span's inputs, in any provider's shape; null if there are none. */
function asked(inputs) {
  if (typeof inputs === "string") return [{role: "input", content: inputs}];
  if (!isObject(inputs)) return null;
  const found = [];
  for (const name of ["system", "instructions", "system_instruction"]) {
    if (inputs[name]) found.push({role: "system", content: inputs[name]});
  }
  const turns = inputs.messages ?? inputs.contents ?? inputs.input ?? inputs.prompt ?? inputs.query;
  for (const turn of list(turns)) found.push(isObject(turn) && (turn.role || turn.content || turn.parts) ? turn : {role: "user", content: turn});
  return found.length ? found : null;
}

/** The messages in a span's outputs; null if there are none. */
function answered(outputs) {
  if (typeof outputs === "string") return [{role: "output", content: outputs}];
  if (!isObject(outputs)) return null;
  if (Array.isArray(outputs.choices)) return outputs.choices.map((choice) => choice.message ?? {role: "assistant", content: choice.text ?? choice});
  if (Array.isArray(outputs.candidates)) return outputs.candidates.map((one) => ({role: "assistant", ...one.content}));
  if (Array.isArray(outputs.output)) return outputs.output.map((item) => (item.type === "message" || item.role ? item : {role: item.type ?? "output", content: item}));
  if (outputs.type === "message" || outputs.role) return [outputs];
  return null;
}

function messageBox(message) {
  const role = String(message.role ?? "assistant");
  const kind = ["assistant", "model", "output"].includes(role) ? ".assistant" : "";
  const parts = [
    ...thoughts(message),
    ...list(message.content ?? message.parts).flatMap(contentPart),
    ...list(message.tool_calls).map(toolCall),
    message.function_call ? toolCall({function: message.function_call}) : null,
    message.refusal ? el("div", {}, "Refused: ", longText(String(message.refusal), "span.said")) : null,
  ].filter(Boolean);
  const about = [message.name, message.tool_call_id].filter(Boolean).map((text) => said(text));
  return el(`article.message${kind}`, {}, el("header", {}, said(role), about),
    el("div", {}, parts.length ? parts : el("span.muted", {}, "(empty)")));
}

function thoughts(message) {
  const thought = message.reasoning_content ?? message.reasoning ?? message.thinking;
  return typeof thought === "string" && thought ? [el("div.thought", {}, longText(thought))] : [];
}

function contentPart(part) {
  if (typeof part === "string") return part ? [longText(part)] : [];
  if (!isObject(part)) return [code(part)];
  if (part.thought === true || part.type === "thinking") return [el("div.thought", {}, longText(String(part.text ?? part.thinking ?? "")))];
  if (typeof part.text === "string") return [longText(part.text)];
  if (part.type === "tool_use") return [toolCall({id: part.id, function: {name: part.name, arguments: part.input}})];
  if (part.type === "tool_result") return list(part.content).flatMap(contentPart);
  if (part.functionCall ?? part.function_call) return [toolCall({function: part.functionCall ?? part.function_call})];
  const cut = Object.values(part).flatMap((value) => [value, ...(isObject(value) ? Object.values(value) : [])]).find((value) => isObject(value) && value.sha256 && value.length);
  if (cut) return [el("div", {}, el("span.badge", {}, String(cut.kind)), el("span.muted", {}, ` ${whole.format(cut.length)} characters, not recorded`))];
  return [code(part)];
}

function toolCall(call) {
  const of = isObject(call?.function) ? call.function : call ?? {};
  const given = of.arguments ?? of.args ?? "";
  return el("div", {}, el("span.badge", {}, "tool call"), " ", el("b", {}, said(of.name ?? "")), " ",
    call?.id ? el("span.muted", {}, said(call.id)) : null, code(tidy(given)));
}

/** JSON in a text, laid out; any other text as it is. */
function tidy(text) {
  if (typeof text !== "string") return text;
  try { return JSON.parse(text); } catch { return text; }
}

/** A folded box whose inside is made when it is opened. */
function folded(title, make) {
  const place = el("div");
  const box = el("details", {ontoggle: () => box.open && !place.firstChild && place.append(make())}, el("summary", {}, title), place);
  return box;
}
