// Runs side by side, or one looked at: what differs, the learning curves laid over each other, the metrics.
// Of more than two, those that differ in their seed alone are one line, the mean, in a band from the lowest to the highest.
const comparison = document.getElementById("comparison");
const body = document.getElementById("comparison-body");
const LETTERS = "ABCDEFGH"; // as many runs as can be told apart by colour
const chosen = () => chosenKeys().map((key) => BY_KEY.get(key)).filter(Boolean);

function renderChosen() {
  const runs = chosen();
  const bar = document.getElementById("chosen");
  bar.hidden = runs.length === 0;
  bar.querySelector("span").textContent = runs.map((run, i) => `${LETTERS[i]}: ${run.notebook} ${run.name}`).join("  ·  ");
  document.getElementById("show").textContent = runs.length > 1 ? "Compare" : "Details";
  comparison.hidden = runs.length === 0 || !state.view;
  if (comparison.hidden) return body.replaceChildren();
  document.getElementById("comparison-title").textContent = runs.length > 1 ? `${runs.length} runs side by side` : "One run";
  return body.replaceChildren(...compare(runs));
}

function compare(runs) {
  const caution = runs.length > 1 ? cautions(runs) : [];
  return [
    about(runs),
    ...caution.map((text) => make("p", { class: "caution" }, text)),
    ...differences(runs),
    ...curves(runs),
    ...metrics(runs),
  ];
}

// ---- tables

function table(heads, rows, label) {
  const head = make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text))));
  const lines = rows.map(([name, ...cells]) => make("tr", {}, make("th", { scope: "row" }, name), ...cells.map((cell) => make("td", {}, cell))));
  return make("div", { class: "scroll" }, make("table", { "aria-label": label }, head, make("tbody", {}, ...lines)));
}

const letters = (runs) => (runs.length > 1 ? runs.map((run, i) => LETTERS[i]) : ["value"]);
const text = (value) => (empty(value) ? "–" : String(value));

function about(runs) {
  const links = (run) => make("span", {}, ...Object.entries(run.links).flatMap(([name, href]) => [make("a", { href }, name), " "]));
  const rows = [
    ["notebook", (run) => run.notebook], ["run", (run) => run.id],
    ["status", (run) => (run.why ? `${run.status}: ${run.why}` : run.status)],
    ["started (UTC)", (run) => text(run.started && run.started.slice(0, 19).replace("T", " "))], ["wall time (s)", seconds], ["data", (run) => text(run.data)],
    ["fingerprint of the data", (run) => text(run.fingerprint && run.fingerprint.slice(0, 16))],
    ["stack", (run) => text(run.stack)], ["commit", (run) => text(run.commit)], ["gradient check", (run) => text(run.gate)],
    ["decisions", (run) => text(decided(run))], ["resumed from", (run) => text(run.resumed)], ["files", links],
  ];
  return table(["", ...letters(runs)], rows.map(([name, of]) => [name, ...runs.map(of)]), "The runs");
}

function cautions(runs) {
  const said = [];
  const both = DATA.rows_decided_by.filter((name) => runs.every((run) => Object.hasOwn(run.parameters, name)));
  const unlike = both.filter((name) => several(runs.map((run) => run.parameters[name])));
  if (several(runs.map((run) => run.fingerprint).filter(Boolean))) said.push("The data differs, so the metrics are of different rows.");
  else if (unlike.length) said.push(`The split differs (${unlike.join(", ")}), so the metrics are of different rows.`);
  const unfinished = runs.map((run, i) => [run, LETTERS[i]]).filter(([run]) => run.status !== "done").map(([run, letter]) => `${letter} is ${run.status}`);
  if (unfinished.length) said.push(`${unfinished.join(", ")}: what it shows is what it had reached.`);
  return said;
}

const several = (values) => new Set(values).size > 1;

function differences(runs) {
  if (runs.length === 1) return [make("h3", {}, "Parameters"), parameterTable(runs, Object.keys(runs[0].parameters))];
  const all = [...new Set(runs.flatMap((run) => Object.keys(run.parameters)))];
  const unlike = all.filter((name) => several(runs.map((run) => own(run.parameters, name))));
  const versions = [...new Set(runs.flatMap((run) => Object.keys(run.versions)))];
  const stack = versions.filter((name) => several(runs.map((run) => own(run.versions, name))));
  const alike = make("details", {}, make("summary", {}, `${all.length - unlike.length} parameters are the same`),
    parameterTable(runs, all.filter((name) => !unlike.includes(name))));
  const absent = unlike.some((name) => runs.some((run) => !Object.hasOwn(run.parameters, name)));
  return [
    make("h3", {}, "Parameters that differ"),
    absent ? make("p", { class: "quiet" }, "–: not a parameter of that run.") : "",
    unlike.length ? parameterTable(runs, unlike) : make("p", {}, "None: the same configuration."), alike,
    ...(stack.length ? [make("h3", {}, "Versions that differ"),
      table(["", ...letters(runs)], stack.map((name) => [name, ...runs.map((run) => text(own(run.versions, name)))]), "Versions that differ")] : []),
  ];
}

function parameterTable(runs, list) {
  return table(["parameter", ...letters(runs)], list.map((name) => [name, ...runs.map((run) => text(own(run.parameters, name)))]), "Parameters");
}

function metrics(runs) {
  const list = [...new Set(runs.flatMap((run) => Object.keys(run.metrics)))];
  if (!list.length) return [make("h3", {}, "Metrics"), make("p", {}, "None: metrics are written when a run is done.")];
  const rows = list.map((name) => {
    const values = runs.map((run) => own(run.metrics, name));
    const gap = values.length === 2 && values.every(isNumber) ? values[1] - values[0] : undefined;
    const sign = gap > 0 ? "+" : "";
    return [name, ...values.map(number), ...(runs.length === 2 ? [gap === undefined ? "" : sign + number(gap)] : [])];
  });
  return [make("h3", {}, "Metrics"), table(["metric", ...letters(runs), ...(runs.length === 2 ? ["B − A"] : [])], rows, "Metrics")];
}

// ---- curves

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, FOOT] = [420, 250, 58, 10, 12, 40];

function draw(tag, attributes, content) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (content !== undefined) node.textContent = content;
  return node;
}

function curves(runs) {
  const title = make("h3", {}, "Learning curves");
  const missing = runs.filter((run) => run.curves_why).map((run) => make("p", { class: "quiet" }, `${run.key}: ${run.curves_why}.`));
  const drawn = Object.keys(DATA.curves).filter((name) => runs.some((run) => points(run, name).length));
  const synthetic = runs.some((run) => run.synthetic) ? "SYNTHETIC data: drawn by a generator, not measured on any network." : "";
  const sources = runs.map((run, i) => `${runs.length > 1 ? `${LETTERS[i]}: ` : ""}${text(run.data)}`).join("; ");
  const key = runs.length === 2 ? " A is the solid line with dots, B the dashed one with squares." : "";
  const named = runs.length > 2 ? [make("p", {}, ...legend(grouped(runs)))] : [];
  const note = drawn.length ? [make("p", { class: "quiet" }, `${synthetic} ${sources}.${key}`.trim())] : [];
  return [title, ...note, ...named, make("div", { class: "curves" }, ...drawn.map((name) => panel(runs, name))), ...missing];
}

function points(run, name) {
  const values = own(run.curves, name) || [];
  return (run.curves.epoch || []).map((epoch, i) => [epoch, values[i]]).filter(([x, y]) => isNumber(x) && isNumber(y));
}

// Runs that are one line: each by itself, or, of more than two, those that differ in nothing but their seed.
function grouped(runs) {
  const groups = new Map();
  runs.forEach((run, i) => {
    const { seed, ...rest } = run.parameters;
    const key = runs.length > 2 ? JSON.stringify([run.notebook, Object.entries(rest).sort()]) : i;
    groups.set(key, [...(groups.get(key) || []), i]);
  });
  return [...groups.values()].map((members, k) => ({
    members, title: members.map((i) => letters(runs)[i]).join(""), runs: members.map((i) => runs[i]), which: `c${k}`,
  }));
}

function legend(groups) {
  return groups.flatMap((group) => [make("span", { class: `key ${group.which}` }, "■ "),
    `${group.title}${group.runs.length > 1 ? ` (mean of ${group.runs.length} seeds, from lowest to highest)` : ""}  `]);
}

// Points of a line, [epoch, mean, lowest, highest]: of several runs, at the epochs that all of them have.
function line(group, name) {
  const each = group.runs.map((run) => points(run, name));
  if (each.length === 1) return each[0].map(([x, y]) => [x, y, y, y]);
  const [first, ...others] = each.map((of) => new Map(of));
  return [...first.keys()].filter((x) => others.every((other) => other.has(x))).map((x) => {
    const values = [first, ...others].map((of) => of.get(x));
    return [x, values.reduce((a, b) => a + b) / values.length, Math.min(...values), Math.max(...values)];
  });
}

function panel(runs, name) {
  const [title, unit] = DATA.curves[name];
  const groups = grouped(runs);
  const lines = groups.map((group) => line(group, name));
  const [xs, ys] = [lines.flat().map((point) => point[0]), lines.flat().flatMap((point) => point.slice(2))];
  const [x, y] = [scale(xs, LEFT, WIDTH - RIGHT, true), scale(ys, HEIGHT - FOOT, TOP, false)];
  const said = lines.map((of, i) => (of.length ? `${groups[i].title} goes from ${number(of[0][1])} at epoch ${of[0][0]} to `
    + `${number(of.at(-1)[1])} at epoch ${of.at(-1)[0]}` : `${groups[i].title} has none`)).join("; ").replaceAll("value goes", "it goes");
  const image = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title} (${unit}) against epoch: ${said}.` });
  for (const tick of y.ticks) {
    image.append(draw("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick), class: "grid" }));
    image.append(draw("text", { x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, y.label(tick)));
  }
  for (const tick of x.ticks) image.append(draw("text", { x: x(tick), y: HEIGHT - FOOT + 16, "text-anchor": "middle" }, x.label(tick)));
  image.append(draw("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, "epoch"));
  const middle = (TOP + HEIGHT - FOOT) / 2;
  image.append(draw("text", { x: 12, y: middle, "text-anchor": "middle", transform: `rotate(-90 12 ${middle})` }, unit));
  lines.forEach((of, i) => image.append(...curve(of, x, y, groups[i])));
  return make("figure", {}, make("figcaption", {}, title), image);
}

function curve(of, x, y, { which, runs }) {
  const edge = [...of.map(([a, , , high]) => [a, high]), ...of.map(([a, , low]) => [a, low]).reverse()];
  const band = runs.length > 1 ? [draw("polygon", { points: edge.map(([a, b]) => `${x(a)},${y(b)}`).join(" "), class: `band ${which}` })] : [];
  const path = draw("polyline", { points: of.map(([a, b]) => `${x(a)},${y(b)}`).join(" "), class: `line ${which}` });
  const marks = of.length > 60 || runs.length > 1 ? [] : of.map(([a, b]) => (which === "c1"
    ? draw("rect", { x: x(a) - 3, y: y(b) - 3, width: 6, height: 6, class: `mark ${which}` })
    : draw("circle", { cx: x(a), cy: y(b), r: 3, class: `mark ${which}` })));
  return [...band, path, ...marks];
}

function scale(values, from, to, whole) {
  let [low, high] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
  if (low === high) [low, high] = whole ? [low - 1, high + 1] : [low - (Math.abs(low) || 1) / 10, high + (Math.abs(low) || 1) / 10];
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 5, 10].map((k) => k * power).find((size) => size >= rough);
  if (whole) step = Math.max(1, Math.round(step));
  const at = (value) => from + ((value - low) / (high - low)) * (to - from);
  at.ticks = [];
  for (let k = Math.ceil(low / step); k * step <= high + step * 1e-9; k += 1) at.ticks.push(k * step);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  at.label = (tick) => (Math.abs(tick) >= 1e5 || (digits > 5 && tick !== 0) ? tick.toExponential(1) : tick.toFixed(digits));
  return at;
}

// ---- hands

document.querySelector("#runs tbody").addEventListener("change", (event) => {
  const key = event.target.dataset.choose;
  if (!key) return;
  const kept = chosenKeys().filter((other) => other !== key);
  state.chosen = (event.target.checked ? [...kept.slice(0, LETTERS.length - 1), key] : kept).join("\n");
  render();
  document.querySelector(`[data-choose="${CSS.escape(key)}"]`)?.focus();
});
document.getElementById("show").addEventListener("click", () => {
  state.view = "1";
  render(true);
  document.getElementById("comparison-title").focus();
  comparison.scrollIntoView();
});
document.getElementById("none").addEventListener("click", () => {
  state.chosen = state.view = "";
  render(true);
});
window.addEventListener("hashchange", () => { read(); render(); });
document.getElementById("built").textContent = `Built ${DATA.built.slice(0, 19).replace("T", " ")} UTC from the run folders. What began or ended since is not`
  + " in it; qnb report builds it anew and replaces this page only. Times are UTC.";
read();
render();
