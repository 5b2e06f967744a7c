"use strict";
// The list: what is asked for stands in the address after #, so that it can be kept and sent; everything shown is made from it.
const DATA = JSON.parse(document.getElementById("data").textContent);
const COLLATOR = new Intl.Collator("en");
const PAGE = 200; // rows shown at a time
const own = (object, key) => (Object.hasOwn(object, key) ? object[key] : undefined);
const isNumber = (value) => typeof value === "number";
const METRICS = names((run) => Object.keys(run.metrics).filter((name) => isNumber(run.metrics[name])));
const PARAMETERS = names((run) => Object.keys(run.parameters));
const BLANK = {
  q: "", notebook: "", status: "", data: "", stack: "", decision: "", parameter: "", value: "",
  metric: METRICS.includes("test_auc") ? "test_auc" : METRICS[0] || "", min: "", max: "",
  sort: "run", down: "1", chosen: "", view: "",
};
const state = { ...BLANK };
let limit = PAGE;
const filters = document.getElementById("filters");

DATA.runs.forEach((run) => { run.key = `${run.notebook}/${run.id}`; });
const chosenKeys = () => state.chosen.split("\n").filter(Boolean);
const BY_KEY = new Map(DATA.runs.map((run) => [run.key, run]));

function names(of) {
  return [...new Set(DATA.runs.flatMap(of))].sort();
}

function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== null));
  return node;
}

function number(value) {
  if (!isNumber(value)) return value === null || value === undefined ? "–" : String(value);
  if (Number.isInteger(value)) return String(value);
  return Math.abs(value) >= 1e-3 && Math.abs(value) < 1e4 ? value.toFixed(4) : value.toPrecision(4);
}

function interval(run, name) {
  const [low, high] = ["low", "high"].map((end) => own(run.metrics, `${name}_interval.${end}`));
  return isNumber(low) && isNumber(high) ? ` (${number(low)} to ${number(high)})` : "";
}

const DECIDED = DATA.runs.some((run) => Object.keys(run.decisions).length);
const decided = (run) => Object.entries(run.decisions).map(([arm, decision]) => `${arm} ${decision}`).join(", ");

const seconds = (run) => (isNumber(run.wall) ? run.wall.toFixed(1) : "–");

// ---- what is asked for

function read() {
  const asked = new URLSearchParams(location.hash.slice(1));
  for (const name of Object.keys(BLANK)) state[name] = asked.has(name) ? asked.get(name) : BLANK[name];
}

// Opening and closing the comparison are steps that Back undoes; a letter typed into a filter is none.
function write(step) {
  const asked = new URLSearchParams(Object.entries(state).filter(([name, value]) => value !== BLANK[name]));
  if (location.hash.slice(1) === String(asked)) return;
  if (step) history.pushState(null, "", `#${asked}`);
  else history.replaceState(null, "", `#${asked}`);
}

function haystack(run) {
  const said = Object.entries(run.parameters).map(([name, value]) => `${name}=${value}`);
  run.words ||= [run.key, run.status, run.why || "", run.data, run.stack, decided(run), ...said].join(" ").toLowerCase();
  return run.words;
}

// name=value is a parameter that has exactly this value; another word stands anywhere in what is said of a run.
function matches(run, word) {
  const at = word.indexOf("=");
  if (at < 1) return haystack(run).includes(word);
  const [name, value] = [word.slice(0, at), word.slice(at + 1)];
  return Object.entries(run.parameters).some(([key, held]) => key.toLowerCase() === name && held.toLowerCase() === value);
}

function shown() {
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  const [low, high] = [state.min, state.max].map((text) => (text.trim() === "" ? NaN : Number(text)));
  return ordered(DATA.runs.filter((run) => {
    const metric = own(run.metrics, state.metric);
    return ["notebook", "status", "data", "stack"].every((name) => !state[name] || run[name] === state[name])
      && (!state.decision || Object.values(run.decisions).includes(state.decision))
      && (!state.value || own(run.parameters, state.parameter) === state.value)
      && (Number.isNaN(low) || (isNumber(metric) && metric >= low))
      && (Number.isNaN(high) || (isNumber(metric) && metric <= high))
      && words.every((word) => matches(run, word));
  }));
}

// ---- columns and their order

function columns() {
  const list = [
    ["run", "run", (run) => run.id],
    ["notebook", "notebook", (run) => run.notebook],
    ["status", "status", (run) => run.status],
  ];
  if (DATA.runs.some((run) => run.changed)) list.push(["changed", "changed parameters", (run) => run.changed]);
  if (DECIDED) list.push(["decisions", "decisions", decided]);
  if (state.parameter) list.push(["parameter", state.parameter, (run) => own(run.parameters, state.parameter)]);
  if (state.metric) list.push(["metric", state.metric, (run) => own(run.metrics, state.metric)]);
  list.push(["wall", "wall time (s)", (run) => run.wall], ["data", "data", (run) => run.data]);
  if (new Set(DATA.runs.map((run) => run.stack)).size > 1) list.push(["stack", "stack", (run) => run.stack]);
  return list;
}

const empty = (value) => value === null || value === undefined || value === "";

function ordered(runs) {
  const [, , of] = columns().find(([name]) => name === state.sort) || columns()[0];
  const way = state.down ? -1 : 1;
  return runs.map((run) => [of(run), run]).sort(([a, one], [b, other]) => {
    if (empty(a) || empty(b)) return empty(a) - empty(b); // what is missing comes last, whichever way
    const numbers = [Number(a), Number(b)];
    const ahead = numbers.some(Number.isNaN) ? COLLATOR.compare(a, b) : numbers[0] - numbers[1];
    return way * ahead || (one.key < other.key ? 1 : -1);
  }).map(([, run]) => run);
}

// ---- what is shown

function render(step) {
  write(step === true);
  fillFilters();
  const runs = shown();
  const of = runs.length === DATA.runs.length ? "" : ` of ${DATA.runs.length}`;
  document.getElementById("count").textContent = DATA.runs.length ? `${runs.length}${of} runs` : "No runs yet: qnb run train makes one.";
  document.querySelector("#runs thead").replaceChildren(heads());
  document.querySelector("#runs tbody").replaceChildren(...runs.slice(0, limit).map(row));
  const more = document.getElementById("more");
  more.hidden = runs.length <= limit;
  more.textContent = `Show ${Math.min(PAGE, runs.length - limit)} more of ${runs.length - limit}`;
  renderChosen();
}

function heads() {
  const cells = columns().map(([name, title]) => {
    const sorted = state.sort === name;
    const arrow = make("span", { "aria-hidden": "true" }, sorted ? (state.down ? " ↓" : " ↑") : "");
    const button = make("button", { type: "button", "data-sort": name }, title, arrow);
    return make("th", { scope: "col", "aria-sort": sorted ? (state.down ? "descending" : "ascending") : "none" }, button);
  });
  return make("tr", {}, make("th", { scope: "col" }, make("span", { class: "unseen" }, "choose")), ...cells);
}

function row(run) {
  const box = make("input", { type: "checkbox", "data-choose": run.key, "aria-label": `Choose ${run.key}` });
  box.checked = chosenKeys().includes(run.key);
  const name = run.links.report ? make("a", { href: run.links.report, title: run.id }, run.name) : make("span", { title: run.id }, run.name);
  const lines = [run.why, run.resume && `resume: ${run.resume}`].filter(Boolean);
  const why = lines.length ? make("div", { class: "why" }, lines.join("\n")) : null;
  const cells = {
    run: [name], status: [make("span", { class: `status ${run.status.replace(/\W/g, "")}` }, run.status), why],
    wall: [seconds(run)], metric: [number(own(run.metrics, state.metric)) + interval(run, state.metric)],
  };
  return make("tr", {}, make("td", {}, box), ...columns().map(([key, title, of]) =>
    make("td", { "data-label": title, class: key }, ...(cells[key] || [number(of(run))]))));
}

function fillFilters() {
  const of = (name) => names((run) => run[name] || []);
  const values = names((run) => own(run.parameters, state.parameter) ?? []);
  const options = {
    notebook: of("notebook"), status: of("status"), data: of("data"), stack: of("stack"),
    decision: names((run) => Object.values(run.decisions)),
    parameter: PARAMETERS, value: values, metric: METRICS,
  };
  const none = { parameter: "none", metric: "none" };
  for (const field of filters.elements) {
    if (!own(BLANK, field.name) && own(BLANK, field.name) !== "") continue;
    const list = own(options, field.name);
    if (list) {
      const all = [["", own(none, field.name) || "any"], ...list.map((value) => [value, value])];
      if (state[field.name] && !list.includes(state[field.name])) all.push([state[field.name], `${state[field.name]} (no run)`]);
      field.replaceChildren(...all.map(([value, text]) => make("option", { value }, text)));
      field.disabled = field.name === "value" && !state.parameter;
    }
    if (field.value !== state[field.name]) field.value = state[field.name];
  }
}

// ---- hands

filters.addEventListener("input", (event) => {
  state[event.target.name] = event.target.value;
  if (event.target.name === "parameter") state.value = "";
  if (event.target.name === "metric") state.min = state.max = "";
  limit = PAGE;
  render();
});
filters.addEventListener("submit", (event) => event.preventDefault());
filters.addEventListener("reset", (event) => {
  event.preventDefault();
  for (const field of filters.elements) if (field.name) state[field.name] = BLANK[field.name];
  limit = PAGE;
  render();
});
document.querySelector("#runs thead").addEventListener("click", (event) => {
  const name = event.target.closest("button")?.dataset.sort;
  if (!name) return;
  state.down = state.sort === name && state.down ? "" : "1";
  state.sort = name;
  render();
  document.querySelector(`#runs thead [data-sort=${name}]`).focus();
});
document.getElementById("more").addEventListener("click", () => { limit += PAGE; render(); });
