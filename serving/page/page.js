// The page at /: sends an image to the service and draws its answer. No library, no request to another host.
// Every URL is relative, so that the page also works behind a proxy that puts the service below a path.
// @ts-check

/** @typedef {Record<string, any>} Json  what hardener/config/answer.py describes */

const TOKEN_KEY = "hardener-token";
const MOST_CLASSES = 5; // bars that are drawn; the rest is summed up in one row
const ACCEPTED = 10; // classes that are asked for where there are more

const state = {
  token: sessionStorage.getItem(TOKEN_KEY) ?? "",
  /** @type {Json[]} */ models: [],
  /** @type {{blob: Blob, name: string} | null} */ image: null,
  /** @type {Json | null} */ answer: null,
  /** @type {AbortController | null} */ running: null,
  /** @type {(() => void) | null} */ again: null, // what a 401 stopped
};

// ---------------------------------------------------------------- small tools

/** @param {string} id @returns {any} */
const at = (id) => document.getElementById(id);

/** Make an element; a text child is never read as HTML. @returns {any} */
function h(/** @type {string} */ tag, /** @type {Json} */ attributes = {}, /** @type {any[]} */ ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Make an SVG element. @returns {any} */
function s(/** @type {string} */ tag, /** @type {Json} */ attributes = {}, /** @type {any[]} */ ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(/** @type {Element} */ element, /** @type {Json} */ attributes, /** @type {any[]} */ children) {
  for (const [name, value] of Object.entries(attributes)) if (value != null) element.setAttribute(name, String(value));
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

/** A share as text; never rounded up to certainty or down to nothing. */
function percent(/** @type {number} */ share) {
  if (share > 0 && share < 0.0005) return "< 0.1\u00a0%";
  if (share < 1 && share >= 0.9995) return "> 99.9\u00a0%";
  return `${(100 * share).toFixed(1)}\u00a0%`; // no line break before the sign
}

const number = (/** @type {number} */ value) => (Math.abs(value) >= 100 ? count(Math.round(value)) : String(Number(value.toPrecision(3)))).replace("-", "−");
const count = (/** @type {number} */ value) => value.toLocaleString("en-US");
const plural = (/** @type {number} */ n, /** @type {string} */ word, many = `${word}s`) => `${count(n)} ${n === 1 ? word : many}`;

/** eps as people write it: 8/255 where it is one. */
function distance(/** @type {number} */ eps, /** @type {string} */ norm) {
  const levels = eps * 255;
  const whole = norm === "linf" && Math.round(levels) >= 1 && Math.abs(levels - Math.round(levels)) < 1e-4;
  return whole ? `${Math.round(levels)}/255` : number(eps);
}

const norm = (/** @type {string} */ name) => ({ linf: "ℓ∞", l2: "ℓ2" })[name] ?? name;
const inList = (/** @type {string} */ label) => (/[,;]/.test(label) ? `"${label}"` : label); // as words.in_list in Python
const named = (/** @type {string} */ label) => `“${label}”`; // a class may be called 3
const percentOf = (/** @type {number} */ share) => `${(100 * Math.min(1, Math.max(0, share))).toFixed(2)}%`;

function meaning(/** @type {string} */ text, /** @type {any[]} */ ...more) {
  return h("details", {}, h("summary", {}, "Meaning and limits"), h("p", {}, text), ...more);
}

// ---------------------------------------------------------------- charts

/** A chart that says what it shows; without `label` the text beside it says the same. @returns {any} */
function chart(/** @type {string | null} */ label, /** @type {any[]} */ ...marks) {
  const access = label === null ? { "aria-hidden": "true" } : { role: "img", "aria-label": label };
  return s("svg", { class: "chart", ...access }, ...marks);
}

/** A share in [0, 1] as a bar; `tick` marks a place to compare with, `interval` two. */
function gauge(
  /** @type {number} */ share,
  /** @type {{kind?: string, tick?: number, interval?: number[], label?: string}} */ { kind = "", tick, interval, label } = {},
) {
  const line = (/** @type {number} */ x) => s("line", { class: "mark", x1: percentOf(x), x2: percentOf(x), y1: "-15%", y2: "115%" });
  return chart(
    label ?? null,
    s("rect", { class: "track", width: "100%", height: "100%", rx: 2 }),
    share > 0 && s("rect", { class: `value ${kind}`, width: percentOf(share), height: "100%", rx: 2 }),
    tick !== undefined && line(tick),
    interval && [
      line(interval[0]),
      line(interval[1]),
      s("line", { class: "mark", x1: percentOf(interval[0]), x2: percentOf(interval[1]), y1: "50%", y2: "50%" }),
    ],
  );
}

/** A number line from `low` to `high`: bands, a zero and dots at their places. */
function strip(
  /** @type {{low: number, high: number, bands?: [number, number, string][], zero?: boolean, ticks?: number[], dots: [number, string][], label: string}} */
  { low, high, bands = [], zero = false, ticks = [], dots, label },
) {
  const width = high - low || 1;
  const start = high > low ? 0.02 : 0.5;
  const place = (/** @type {number} */ value) => percentOf(start + (0.96 * (value - low)) / width);
  const extent = (/** @type {number} */ a, /** @type {number} */ b) => percentOf(Math.max((0.96 * (b - a)) / width, 0.004));
  return chart(
    label,
    s("line", { class: "axis", x1: 0, x2: "100%", y1: "50%", y2: "50%" }),
    bands.map(([a, b, kind]) => s("rect", { class: kind, x: place(a), width: extent(a, b), y: "20%", height: "60%" })),
    ticks.map((value) => s("line", { class: "mark", x1: place(value), x2: place(value), y1: "10%", y2: "90%" })),
    zero && s("line", { class: "zero", x1: place(0), x2: place(0), y1: "-20%", y2: "120%" }),
    dots.map(([value, kind]) => s("circle", { class: `dot ${kind}`, cx: place(value), cy: "50%", r: 5.5 })),
  );
}

// ---------------------------------------------------------------- talking to the service

/** An answer that is no answer: the title and the detail of a problem document, or what stands for them. */
class Trouble extends Error {
  constructor(/** @type {string} */ title, /** @type {string} */ detail, status = 0) {
    super(detail);
    this.title = title;
    this.status = status;
  }
}

/** Fetch a path of this service. Throws Trouble, or AbortError where `signal` was used. */
async function ask(/** @type {string} */ path, /** @type {RequestInit} */ options = {}) {
  const headers = state.token ? { Authorization: `Bearer ${state.token}` } : undefined;
  let response;
  try {
    response = await fetch(path, { cache: "no-store", ...options, headers });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Trouble("No answer", "The service cannot be reached. Is it still running?");
  }
  if (response.ok) return response;
  let problem = /** @type {Json} */ ({});
  try {
    problem = await response.json();
  } catch {
    // a proxy's own page, not the service's problem document
  }
  const wait = response.headers.get("Retry-After");
  const detail = problem.detail ?? `The service answered ${response.status} without saying why.`;
  throw new Trouble(
    problem.title ?? response.statusText ?? "Error",
    wait && /^\d+$/.test(wait) ? `${detail} (The service asks to wait ${plural(Number(wait), "second")}.)` : detail,
    response.status,
  );
}

const model = () => state.models.find((info) => info.name === at("model").value) ?? state.models[0];

/** The options of the request, as the query says them. */
function query(/** @type {boolean} */ report) {
  const options = new URLSearchParams();
  if (state.models.length > 1) options.set("model", model().name);
  if ((model()?.classes.length ?? 0) > ACCEPTED) options.set("top_k", String(ACCEPTED));
  if (!report) return options;
  options.set("report", "true");
  options.set("found_image", "true");
  for (const [id, option] of [["draws", "draws"], ["queries", "queries"], ["budget", "budget_s"]]) {
    if (at(id).value) options.set(option, at(id).value);
  }
  return options;
}

const address = (/** @type {URLSearchParams} */ options) => (options.size ? `predict?${options}` : "predict");

/** Do one piece of work with a cancel button and the seconds it takes; say its trouble. Returns whether it succeeded. */
async function run(/** @type {string} */ what, /** @type {(signal: AbortSignal) => Promise<void>} */ work, /** @type {() => void} */ again) {
  state.running?.abort();
  const controller = new AbortController();
  state.running = controller;
  at("alert").replaceChildren();
  at("status").textContent = `${what} …`;
  const started = performance.now();
  const tell = () => (at("busy-text").textContent = `${what}: ${Math.floor((performance.now() - started) / 1000)} s`);
  tell();
  const timer = setInterval(tell, 250);
  const late = setTimeout(() => (at("busy").hidden = state.running !== controller), 250); // no flicker for what is quick
  try {
    await work(controller.signal);
    return true;
  } catch (error) {
    if (state.running === controller) complain(error, controller.signal.aborted, again);
    return false;
  } finally {
    clearInterval(timer);
    clearTimeout(late);
    if (state.running === controller) {
      state.running = null;
      at("busy").hidden = true;
      at("ask").hidden = state.answer === null;
      at("ask-report").textContent = state.answer?.report ? "Ask for the report again" : "Ask for the robustness report";
    }
  }
}

function complain(/** @type {any} */ error, /** @type {boolean} */ cancelled, /** @type {() => void} */ again) {
  at("status").textContent = "";
  if (cancelled) {
    at("status").textContent = "Cancelled.";
    return;
  }
  if (error.status === 401) return askForToken(error, again);
  const known = error instanceof Trouble;
  if (!known) console.error(error);
  const passing = known && (error.status === 0 || [408, 429].includes(error.status) || error.status >= 500);
  const retry = passing ? h("button", {}, "Try again") : null; // the same image would be refused again
  retry?.addEventListener("click", again);
  const detail = known ? error.message : "The page cannot show this answer; the browser’s console says why.";
  say(known ? error.title : "Error", detail, retry);
}

function say(/** @type {string} */ title, /** @type {string} */ detail, /** @type {any} */ action = null) {
  const row = action && h("p", { class: "row" }, action);
  at("alert").replaceChildren(h("div", { class: "flag bad" }, h("h2", {}, title), h("p", {}, detail), row));
}

function askForToken(/** @type {Trouble} */ error, /** @type {() => void} */ again) {
  state.again = again;
  if (state.token) say(error.title, error.message);
  at("token-box").hidden = false;
  at("token").focus();
}

function useToken(/** @type {string} */ token) {
  state.token = token;
  sessionStorage.setItem(TOKEN_KEY, token);
  at("token").value = "";
  at("token-box").hidden = true;
  const again = state.again ?? loadModels;
  state.again = null;
  again();
}

// ---------------------------------------------------------------- the model

async function loadModels() {
  await run(
    "Asking which models there are",
    async (signal) => {
      const list = await (await ask("models", { signal })).json();
      const chosen = at("model").value || list.default;
      state.models = list.models;
      at("model").replaceChildren(...list.models.map((/** @type {Json} */ info) => h("option", {}, info.name)));
      at("model").value = list.models.some((/** @type {Json} */ info) => info.name === chosen) ? chosen : list.default;
      at("model-choice").hidden = list.models.length < 2;
      showModel();
      at("status").textContent = "";
    },
    loadModels,
  );
  if (state.models.length && state.image && !state.answer) await predict();
}

function showModel() {
  const info = model();
  document.title = `${info.name} · hardener`;
  at("title").textContent = `Ask ${info.name} about an image`;
  const print = h("code", { title: `sha256 of the weights: ${info.fingerprint}` }, info.fingerprint.slice(0, 12));
  at("formats").textContent = `JPEG, PNG, WebP${info.input.pixels?.range ? ", BMP or TIFF" : " or BMP"}`;
  at("model-line").replaceChildren("fingerprint ", print, `${info.quantization ? ` · ${info.quantization}` : ""} · ${info.provider} · ${plural(info.classes.length, "class", "classes")}`);
  const { height, width, channels } = info.input;
  const rows = [
    ["Weights", h("code", {}, info.fingerprint)],
    ["File", h("code", {}, info.file_sha256)],
    ["Numbers", info.quantization ?? "float32"],
    ["Runs on", info.provider],
    ["Input", `${width} × ${height} pixels, ${channels === 1 ? "gray" : "colour"}`],
    ["Classes", info.classes.slice(0, 12).map(inList).join(", ") + (info.classes.length > 12 ? ` and ${count(info.classes.length - 12)} more` : "")],
    ["Recipe", info.recipe],
    ["Noise in training", info.noise_sigma === null ? "none" : `σ ${number(info.noise_sigma)}`],
    ["Exported", `${info.created_at.slice(0, 16).replace("T", " ")}, hardener ${info.hardener_version}`],
  ];
  at("facts").replaceChildren(
    h("table", { class: "facts" }, h("caption", { class: "unseen" }, "Facts of the model"), h("tbody", {}, rows.map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, value))))),
  );
  at("card-link").href = state.models.length > 1 ? `model/card?${new URLSearchParams({ model: info.name })}` : "model/card";
  showOffline(info.evaluation, withoutNorm(info));
  at("about").hidden = false;
}

/** What to say where the model was evaluated under threats without a norm alone; null: nothing. */
function withoutNorm(/** @type {Json} */ info) {
  if (info.evaluation || !info.changed?.length) {
    return null;
  }
  const told = info.changed.map((/** @type {Json} */ item) => `${item.threat}: robust accuracy ${percent(item.robust_accuracy)}, clean ${percent(item.clean_accuracy)}, n = ${count(item.samples)}${item.data ? `, images of ${item.data}` : ""}`);
  return `It was not evaluated under a norm before its export. Under threats that no norm describes: ${told.join("; ")}.`;
}

/** The figures of the model's evaluation: the same for every image. */
function showOffline(/** @type {Json | null} */ evaluation, /** @type {string | null} */ words) {
  if (!evaluation) {
    at("offline").replaceChildren(h("p", {}, words ?? "It was exported without an evaluation, so its robustness under attack is not known."));
    return;
  }
  const [low, high] = evaluation.interval;
  const attacker = `${norm(evaluation.norm)}, eps ${distance(evaluation.eps, evaluation.norm)}`;
  const where = evaluation.data ? `images of ${evaluation.data}, which are not those held out when it was trained,` : "a test set";
  const about = words ?? `Measured on ${where} before the export, the same for every image. A stronger attack can only lower the robust accuracy. They say nothing about a single image.`;
  at("offline").replaceChildren(
    h(
      "div",
      { class: "figures" },
      h(
        "div",
        { class: "figure robust" },
        h("h3", {}, `Robust accuracy, ${attacker}`),
        h("span", { class: "big" }, percent(evaluation.robust_accuracy)),
        gauge(evaluation.robust_accuracy, { kind: "robust", interval: [low, high] }),
        h("p", {}, `worst case over ${evaluation.attacks.join(", ")}, image by image`),
        h("p", { class: "soft" }, `95 % interval ${percent(low)} to ${percent(high)}, n = ${count(evaluation.samples)}`),
        ...(evaluation.flags?.length ? [h("p", {}, `Flags, which make it less trustworthy: ${evaluation.flags.join(", ")}`)] : []),
      ),
      h(
        "div",
        { class: "figure clean" },
        h("h3", {}, "Clean accuracy"),
        h("span", { class: "big" }, percent(evaluation.clean_accuracy)),
        gauge(evaluation.clean_accuracy),
        h("p", {}, "the same images, untouched"),
        h("p", { class: "soft" }, `${evaluation.split} images${evaluation.data ? ` of ${evaluation.data}` : ""}, ${evaluation.evaluated_at.slice(0, 10)}`),
      ),
    ),
    meaning(about),
  );
}

/** Open a document of the service; with a token, which a link cannot send, show it on the page. */
async function openDocument(/** @type {MouseEvent} */ event) {
  if (!state.token) return;
  event.preventDefault();
  const link = /** @type {HTMLAnchorElement} */ (event.currentTarget);
  const fetchIt = () =>
    run(
      "Fetching",
      async (signal) => {
        at("document").textContent = await (await ask(link.href, { signal })).text();
        at("document").hidden = false;
        at("document").focus();
        at("status").textContent = "";
      },
      fetchIt,
    );
  await fetchIt();
}

// ---------------------------------------------------------------- the image

/** Take an image and ask about it at once. */
async function take(/** @type {Blob} */ blob, /** @type {string} */ name) {
  state.image = { blob, name };
  state.answer = null;
  for (const id of ["answer", "report", "repeat"]) at(id).hidden = true;
  URL.revokeObjectURL(at("preview").src);
  at("preview").hidden = false;
  at("preview").src = URL.createObjectURL(blob);
  at("preview").alt = `The image ${name}`;
  at("preview-name").textContent = name;
  await predict();
}

/** Take the first file of a drop, a paste or the dialogue. */
function takeFiles(/** @type {FileList | undefined | null} */ files) {
  if (!files?.length) return;
  take(files[0], files[0].name || "pasted.png");
  if (files.length > 1) at("preview-name").textContent += ` (the first of ${files.length}; one is asked about at a time)`;
}

/** @returns {Promise<any>} */
async function predict() {
  if (!state.models.length) return loadModels(); // which asks about the image once it has the models
  if (at("with-report").checked) return report();
  return request(false);
}

/** The prediction first, so that it is there at once, then the report on it. */
async function report() {
  if (state.answer !== null || (await request(false))) await request(true);
}

/** Send the image; show what comes. Returns whether it succeeded. */
async function request(/** @type {boolean} */ withReport) {
  const { blob, name } = /** @type {{blob: Blob, name: string}} */ (state.image);
  const options = query(withReport);
  const held = at("ask").contains(document.activeElement) || at("alert").contains(document.activeElement);
  const running = run(
    withReport ? "The report runs" : "Asking about the image",
    async (signal) => {
      const body = new FormData();
      body.append("image", blob, name);
      const answer = await (await ask(address(options), { method: "POST", body, signal })).json();
      state.answer = answer;
      showPrediction(answer);
      if (answer.report) showReport(answer);
      showRepetition(options, name, answer);
    },
    withReport ? report : predict,
  );
  if (withReport) {
    at("report").hidden = true;
    at("ask").hidden = true;
    at("busy").hidden = false;
    if (held) at("cancel").focus(); // the button that had the focus is gone
  }
  const succeeded = await running;
  const lost = document.activeElement === document.body || document.activeElement === at("cancel");
  if (held && lost) at(succeeded ? (withReport ? "report-title" : "answer-title") : "ask-report").focus();
  if (succeeded && state.answer && model() && state.answer.model.name === model().name && state.answer.model.file_sha256 !== model().file_sha256) {
    await loadModels(); // the service took up another version meanwhile
  }
  return succeeded;
}

// ---------------------------------------------------------------- the answer

function showPrediction(/** @type {Json} */ answer) {
  // JSON.parse moves keys such as "3" to the front, so the service's order is lost where classes are numbers
  const all = /** @type {[string, number][]} */ (Object.entries(answer.probabilities)).sort(([, a], [, b]) => b - a);
  const rows = all.slice(0, MOST_CLASSES);
  const others = (model()?.classes.length ?? all.length) - rows.length;
  const rest = Math.max(0, 1 - rows.reduce((sum, [, share]) => sum + share, 0));
  const row = (/** @type {string} */ name, /** @type {number} */ share) =>
    h("tr", {}, h("th", { scope: "row" }, name), h("td", { class: "n" }, percent(share)), h("td", { class: "bar" }, gauge(share)));
  at("prediction").replaceChildren(
    h("p", { class: "label" }, answer.label),
    h(
      "table",
      { class: "bars" },
      h("caption", { class: "unseen" }, "The model’s confidence, most likely first"),
      h("tbody", {}, rows.map(([name, share]) => row(name, share)), others > 0 && row(others === 1 ? "the other class" : `${count(others)} other classes`, rest)),
    ),
    h("p", { class: "soft" }, h("small", {}, "The model’s own confidence. It is not robustness: a changed image can get as much.")),
  );
  at("answer").hidden = false;
  at("status").textContent = `Answer: ${answer.label}, confidence ${percent(answer.confidence)}.`;
}

/** The command that asks the same. */
function showRepetition(/** @type {URLSearchParams} */ options, /** @type {string} */ name, /** @type {Json} */ answer) {
  const words = ["curl"];
  if (state.token) words.push('-H "Authorization: Bearer $TOKEN"');
  const file = /^[\w.-]+$/.test(name) ? name : `"${name.replace(/[\\"]/g, "\\$&")}"`; // curl reads ; and , in a bare name
  const repeated = new URLSearchParams(options);
  repeated.delete("found_image"); // a terminal has no use for it
  words.push(`-F ${quote(`image=@${file}`)}`, quote(new URL(address(repeated), document.baseURI).href));
  at("curl").textContent = words.join(" ");
  at("curl-note").textContent = state.token ? "TOKEN stands for your token." : "";
  const short = (/** @type {string} */ key, /** @type {any} */ value) => (key === "image" && value ? `${value.slice(0, 40)}… (${count(value.length)} characters of base64)` : value);
  at("json").textContent = JSON.stringify(answer, short, 2);
  at("repeat").hidden = false;
}

const quote = (/** @type {string} */ word) => `'${word.replaceAll("'", "'\\''")}'`;

async function copyCommand() {
  try {
    await navigator.clipboard.writeText(at("curl").textContent);
    at("curl-note").textContent = at("status").textContent = "Copied.";
  } catch {
    getSelection()?.selectAllChildren(at("curl")); // the clipboard is closed to pages without https
    at("curl-note").textContent = at("status").textContent = "Selected; copy it with the keyboard.";
  }
}

// ---------------------------------------------------------------- the report

const KINDS = ["noise", "rotation", "brightness", "contrast", "gray", "blur", "jpeg"];
const title = (/** @type {string} */ kind) => (kind === "jpeg" ? "JPEG" : kind[0].toUpperCase() + kind.slice(1));

/** The kinds of change that were tried, [name, Stability]. @returns {[string, Json][]} */
const tried = (/** @type {Json} */ answer) =>
  KINDS.map((kind) => /** @type {[string, Json]} */ ([kind, answer.report.stability[kind]])).filter(([, found]) => found?.worst);

function showReport(/** @type {Json} */ answer) {
  const { stability, certificate, attack, margin, input, budget, offline } = answer.report;
  const odd = input ? STATISTICS.filter(([name]) => input[name].unusual) : [];
  at("report-parts").replaceChildren(
    ...[
      h("p", { id: "summary" }, summary(answer, odd.length)),
      budget?.cut_short && flag("The time ran out", "Each part says what it used of its draws and queries."),
      odd.length > 0 && flag("The image is unlike the training images", ...odd.map(([name, word]) => unusual(word, input[name]))),
      h("h3", {}, "Everyday changes"),
      pair(answer),
      h("p", { class: "soft legend" }, h("small", {}, "Full bar: share of copies with the same answer. Outlined bar: confidence in the answer, in the worst copy; mark: in the image as sent.")),
      h("div", { class: "figures kinds" }, KINDS.filter((kind) => stability[kind]).map((kind) => kindCard(kind, stability[kind], answer))),
      h("h3", {}, "Worst cases, proofs, and the image itself"),
      h("div", { class: "figures" }, certificateCard(certificate), attack && attackCard(attack, margin, answer.label), margin && marginCard(margin, answer.label), input && inputCard(input), budget && budgetCard(budget)),
    ].filter(Boolean),
  );
  showOffline(offline.evaluation, withoutNorm(offline) ?? offline.meaning);
  at("report").hidden = false;
  at("status").textContent = `The report is there. ${at("summary").textContent}`;
}

function summary(/** @type {Json} */ answer, /** @type {number} */ odd) {
  const { certificate, attack } = answer.report;
  const kinds = tried(answer);
  const held = kinds.filter(([, found]) => found.same_answer === 1).length;
  const sentences = [`In ${held} of ${kinds.length} kinds of everyday change, every copy got the answer ${named(answer.label)}.`];
  if (certificate.radius === null) sentences.push("No radius was certified.");
  else {
    const other = certificate.agrees_with_prediction !== false ? "" : `, which answers ${named(certificate.label)} instead`;
    sentences.push(`Certified ℓ2 radius of the smoothed classifier${other}: ${number(certificate.radius)}.`);
  }
  if (attack) sentences.push(`Attack: ${attack.statement}.`);
  if (odd) sentences.push(`${plural(odd, "figure")} of the image ${odd === 1 ? "is" : "are"} unusual.`);
  return sentences.join(" ");
}

const flag = (/** @type {string} */ head, /** @type {string[]} */ ...lines) => h("div", { class: "flag" }, h("h3", {}, `▲ ${head}`), lines.map((line) => h("p", {}, line)));

function card(/** @type {string} */ head, /** @type {string} */ kind, /** @type {any[]} */ ...children) {
  return h("section", { class: `figure ${kind}` }, h("h4", { class: "soft" }, head), ...children);
}

/** A kind of everyday change: the share of copies with the same answer, and the worst of them. */
function kindCard(/** @type {string} */ kind, /** @type {Json} */ found, /** @type {Json} */ answer) {
  const head = h("h4", {}, title(kind));
  if (!found.worst) return h("section", { class: "figure" }, head, h("p", { class: "soft" }, found.meaning));
  const same = Math.round(found.same_answer * found.variants);
  const { parameter, confidence } = found.worst;
  const where = parameter === null ? "Worst" : `Worst, at ${number(parameter)}`;
  return h(
    "section",
    { class: "figure robust", id: `kind-${kind}` },
    head,
    h("span", { class: "big" }, `${count(same)} of ${count(found.variants)}`),
    gauge(found.same_answer, { kind: "robust" }),
    h("p", {}, found.variants === 1 ? "copy got the same answer" : "copies got the same answer"),
    h("p", {}, `${where}: `, outcome(found, same, answer.label)),
    gauge(confidence, { kind: "left", tick: answer.confidence }),
    h("p", {}, h("small", { class: "soft" }, `confidence in ${named(answer.label)}: ${percent(answer.confidence)} → ${percent(confidence)}`)),
    meaning(found.meaning, found.tried.length > 0 && h("p", {}, `Tried: ${found.tried.map(number).join(", ")} (${found.unit}).`)),
  );
}

/** The answer to the copy that leaves the least confidence; it may be the same where that to another copy is not. */
function outcome(/** @type {Json} */ found, /** @type {number} */ same, /** @type {string} */ label) {
  if (found.worst.label !== label) return h("span", { class: "changed" }, `▲\u00a0taken for ${named(found.worst.label)}`);
  const changed = found.variants - same;
  if (changed) return `same answer, but ${plural(changed, "other copy", "other copies")} got another`;
  return h("span", { class: "held" }, "✓\u00a0same answer");
}

function certificateCard(/** @type {Json} */ found) {
  const largest = found.largest_possible_radius;
  const facts = `${count(found.agreeing_draws)} of ${count(found.draws)} noisy draws (σ ${number(found.noise_sigma)}) gave ${named(found.label)}; confidence ${number(100 * found.confidence)} %.`;
  const other = found.agrees_with_prediction === false && h("p", { class: "changed" }, `▲ The smoothed classifier answers ${named(found.label)} instead.`);
  const noise = found.label !== null && !found.trained_with_this_noise && h("p", { class: "odd" }, "▲ The model was not trained with this noise.");
  const most = `Bar: of ${number(largest)}, the most that ${plural(found.draws, "draw")} can certify.`;
  return card(
    "Certified ℓ2 radius, smoothed classifier",
    "robust",
    found.radius === null ? h("span", { class: "words" }, found.label === null ? "not run: nothing certified" : "abstained: nothing certified") : h("span", { class: "big" }, number(found.radius)),
    gauge(largest > 0 ? (found.radius ?? 0) / largest : 0, { kind: "robust" }),
    largest > 0 && h("p", {}, most),
    found.radius !== null && h("p", { class: "soft" }, evenly(found.radius)),
    found.label !== null && h("p", { class: "soft" }, facts),
    other,
    noise,
    meaning(found.meaning),
  );
}

/** What an l2 length comes to when all values of the model's input share it equally. */
function evenly(/** @type {number} */ radius) {
  const { height, width, channels } = model().input;
  return `Spread evenly over all ${count(height * width * channels)} values of the input: ${number((255 * radius) / Math.sqrt(height * width * channels))} of 255 levels each.`;
}

function attackCard(/** @type {Json} */ found, /** @type {Json | null} */ margin, /** @type {string} */ label) {
  const ball = found.norm === null ? "" : `, ${norm(found.norm)}, eps ${distance(found.eps, found.norm)}`;
  return card(
    `Attack: ${title(found.name)}${ball}`,
    "robust",
    h("span", { class: "words", id: "attack-statement" }, found.statement),
    found.found && found.label !== null && h("p", { class: "changed" }, `▲ It is taken for ${named(found.label)}.`),
    foundImage(found, label),
    found.queries > 0 && lead(found.lowest_margin, margin, label),
    h("p", { class: "soft" }, `${count(found.queries)} of ${plural(found.queries_allowed, "allowed query", "allowed queries")} made.`),
    meaning(found.meaning),
  );
}

/** The adversarial image, to look at and to keep. */
function foundImage(/** @type {Json} */ found, /** @type {string} */ label) {
  if (!found.image) return null;
  const source = `data:image/png;base64,${found.image}`;
  const words = `The image found, of the model’s input size: taken for ${named(found.label)} in place of ${named(label)}`;
  return h(
    "figure",
    { id: "found-image" },
    h("img", { src: source, alt: words }),
    h("figcaption", {}, h("a", { href: source, download: "found.png" }, "Save the image found"), h("small", { class: "soft" }, " It has 8 bits a value, as an upload has.")),
  );
}

/** How far the attack pushed the answer's lead over the next class down. */
function lead(/** @type {number} */ lowest, /** @type {Json | null} */ margin, /** @type {string} */ label) {
  const dots = /** @type {[number, string][]} */ ([[lowest, "robust"], ...(margin ? [[margin.logits, ""]] : [])]);
  const values = dots.map(([value]) => value);
  const seen = `Lowest lead of ${named(label)} seen: ${number(lowest)} logits${margin ? `, from ${number(margin.logits)} as sent` : ""}.`;
  return [
    strip({ low: Math.min(0, ...values), high: Math.max(0, ...values), zero: true, dots, label: `${seen} Below 0 the answer has changed.` }),
    h("p", {}, `${seen} Below 0 (dashed) the answer has changed.`),
  ];
}

function marginCard(/** @type {Json} */ found, /** @type {string} */ label) {
  return card(
    `Lead of ${named(label)} over ${named(found.runner_up)}`,
    "clean",
    h("span", { class: "big" }, `${number(found.logits)} logits`),
    gauge(found.probability),
    h("p", {}, `${(100 * found.probability).toFixed(1)} points of confidence`),
    meaning(found.meaning),
  );
}

/** @type {[string, string][]} */
const STATISTICS = [["width", "Width"], ["height", "Height"], ["brightness", "Brightness"], ["contrast", "Contrast"], ["noise", "Noise"]];
// a count of pixels carries its unit; the others' long units stand under "Meaning and limits"
const measured = (/** @type {number} */ value, /** @type {string} */ unit) => (/^pixels\b/.test(unit) ? `${number(value)} px` : number(value));
const usual = (/** @type {Json} */ { q01, q99 }, unit = "") => (q01 === q99 ? measured(q99, unit) : `${number(q01)} to ${measured(q99, unit)}`);
const unusual = (/** @type {string} */ word, /** @type {Json} */ found) =>
  `${word} ${measured(found.value, found.unit)}: 98 % of the training images have ${usual(found.training, found.unit)}.`;

function inputCard(/** @type {Json} */ found) {
  return card(
    "The image beside the training images",
    "wide",
    h("div", { class: "strips" }, STATISTICS.map(([name, word]) => statistic(word, found[name]))),
    h("p", {}, h("small", { class: "soft" }, "Dot: this image. Bands: 98 % and the middle half of the training images; line: their median.")),
    meaning(found.meaning, h("p", {}, `In: ${STATISTICS.map(([name, word]) => `${word.toLowerCase()}: ${found[name].unit}`).join("; ")}.`)),
  );
}

function statistic(/** @type {string} */ word, /** @type {Json} */ found) {
  const value = measured(found.value, found.unit);
  const head = h("div", {}, h("b", {}, word), ` ${value} `, found.unusual && h("span", { class: "odd" }, "▲ unusual"));
  const spread = found.training;
  if (!spread) return h("div", {}, head, h("small", { class: "soft" }, "The bundle has no statistics of the training images."));
  const low = Math.min(spread.q01, found.value);
  const high = Math.max(spread.q99, found.value);
  const label = `${word} ${value}; 98 % of the training images: ${usual(spread)}, median ${number(spread.median)}`;
  return h(
    "div",
    {},
    head,
    strip({ low, high, bands: [[spread.q01, spread.q99, "most"], [spread.q25, spread.q75, "middle"]], ticks: [spread.median], dots: [[found.value, found.unusual ? "odd" : ""]], label }),
    h("div", { class: "ends", "aria-hidden": "true" }, h("span", {}, number(low)), h("span", {}, number(high))),
  );
}

function budgetCard(/** @type {Json} */ found) {
  return card(
    "What the report spent",
    "wide",
    gauge(found.allowed_s > 0 ? found.spent_s / found.allowed_s : 1, { kind: "plain" }),
    h("p", {}, `${number(found.spent_s)} of the ${number(found.allowed_s)} s allowed, ${plural(found.model_runs, "run")} of the model. Allowed: ${plural(found.draws_allowed, "draw")}, ${plural(found.queries_allowed, "query", "queries")}.`),
    found.cut_short && h("p", { class: "odd" }, "▲ cut short: the time ran out"),
  );
}

// ---------------------------------------------------------------- the worst variation, made again

/** The image as the model gets it, beside the worst variation of one kind; the reader may choose the kind. */
function pair(/** @type {Json} */ answer) {
  const kinds = tried(answer);
  if (!kinds.length) return null;
  const worst = kinds.reduce((a, b) => (b[1].worst.confidence < a[1].worst.confidence ? b : a))[0];
  const select = h("select", { id: "kind" }, kinds.map(([kind]) => h("option", { value: kind }, title(kind) + (kind === worst ? " (the worst of all)" : ""))));
  select.value = worst;
  const panes = h("div", { id: "pair" });
  const draw = () => drawPair(panes, select.value, answer);
  select.addEventListener("change", draw);
  draw();
  return h("div", {}, h("p", { class: "row" }, h("label", { for: "kind" }, "Worst variation by"), select), panes);
}

async function drawPair(/** @type {any} */ panes, /** @type {string} */ kind, /** @type {Json} */ answer) {
  const { parameter, label, confidence } = answer.report.stability[kind].worst;
  const image = state.image;
  const strength = parameter === null ? title(kind) : `${title(kind)} at ${number(parameter)}`;
  const outcome = label === answer.label ? `same answer, ${percent(confidence)} left` : `taken for ${named(label)}, ${percent(confidence)} left for ${named(answer.label)}`;
  let before, after;
  try {
    before = await modelInput(/** @type {{blob: Blob}} */ (image).blob, model().input);
    after = await CHANGES[kind](before, parameter);
  } catch {
    panes.replaceChildren(h("p", {}, `${strength}: ${outcome}. This browser cannot show it.`));
    return;
  }
  if (state.image !== image || state.answer !== answer) return; // another image came meanwhile
  const { width, height } = model().input;
  const pane = (/** @type {HTMLCanvasElement} */ canvas, /** @type {string} */ name, /** @type {string} */ text) => {
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", name);
    canvas.classList.toggle("small-image", width < 160);
    return h("figure", {}, canvas, h("figcaption", {}, text));
  };
  const fresh = kind === "noise" ? " The noise is drawn afresh: the model saw another draw." : "";
  panes.replaceChildren(
    h("div", { class: "pair" }, pane(before, "The image at the model’s size", `As sent, at the model’s ${width} × ${height} pixels: ${named(answer.label)}`), pane(after, `The same image, ${strength}`, `${strength}: ${outcome}`)),
    h("p", {}, h("small", { class: "soft" }, `Re-created in your browser from the parameter in the report, so it may differ slightly from what the model saw.${fresh}`)),
  );
}

function blank(/** @type {number} */ width, /** @type {number} */ height) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  return canvas;
}

const pen = (/** @type {HTMLCanvasElement} */ canvas) => /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));

/** Scale an image until it covers the model's input and cut at the centre, as the service does. */
async function modelInput(/** @type {Blob} */ blob, /** @type {Json} */ { width, height, channels }) {
  const image = await createImageBitmap(blob);
  const canvas = blank(width, height);
  const context = pen(canvas);
  const scale = Math.max(width / image.width, height / image.height);
  const [w, t] = [image.width * scale, image.height * scale];
  context.imageSmoothingQuality = "high";
  context.drawImage(image, (width - w) / 2, (height - t) / 2, w, t);
  const opaque = context.getImageData(0, 0, width, height);
  for (let i = 3; i < opaque.data.length; i += 4) opaque.data[i] = 255; // the service drops transparency too
  context.putImageData(opaque, 0, 0);
  return channels === 1 ? toGray(canvas) : canvas;
}

/** A copy of a canvas with `change(red, green, blue)` for every pixel; values are rounded and clipped. */
function perPixel(/** @type {HTMLCanvasElement} */ canvas, /** @type {(...values: number[]) => number[]} */ change) {
  const copy = blank(canvas.width, canvas.height);
  const pixels = pen(canvas).getImageData(0, 0, canvas.width, canvas.height);
  for (let i = 0; i < pixels.data.length; i += 4) pixels.data.set(change(...pixels.data.subarray(i, i + 3)), i);
  pen(copy).putImageData(pixels, 0, 0);
  return copy;
}

const luma = (/** @type {number[]} */ ...[red, green, blue]) => 0.299 * red + 0.587 * green + 0.114 * blue;
const toGray = (/** @type {HTMLCanvasElement} */ canvas) => perPixel(canvas, (...rgb) => Array(3).fill(luma(...rgb)));

/** A draw from N(0, 1) (Box-Muller). */
const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());

/** @type {Record<string, (canvas: HTMLCanvasElement, parameter: number) => HTMLCanvasElement | Promise<HTMLCanvasElement>>} */
const CHANGES = {
  noise(canvas, sigma) {
    if (model().input.channels === 3) return perPixel(canvas, (...rgb) => rgb.map((value) => value + 255 * sigma * normal()));
    return perPixel(canvas, (value) => Array(3).fill(value + 255 * sigma * normal()));
  },
  rotation(canvas, degrees) {
    const turned = blank(canvas.width, canvas.height);
    const context = pen(turned);
    context.fillRect(0, 0, canvas.width, canvas.height); // black corners
    context.translate(canvas.width / 2, canvas.height / 2);
    context.rotate((-degrees * Math.PI) / 180); // a canvas turns clockwise
    context.drawImage(canvas, -canvas.width / 2, -canvas.height / 2);
    return turned;
  },
  brightness: (canvas, factor) => perPixel(canvas, (...rgb) => rgb.map((value) => value * factor)),
  contrast(canvas, factor) {
    const { data } = pen(canvas).getImageData(0, 0, canvas.width, canvas.height);
    let sum = 0;
    for (let i = 0; i < data.length; i += 4) sum += luma(data[i], data[i + 1], data[i + 2]);
    const mean = Math.round(sum / (data.length / 4));
    return perPixel(canvas, (...rgb) => rgb.map((value) => mean + factor * (value - mean)));
  },
  gray: (canvas) => toGray(canvas),
  blur(canvas, sigma) {
    return alongRows(alongRows(canvas, sigma, false), sigma, true);
  },
  async jpeg(canvas, quality) {
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", quality / 100));
    const copy = blank(canvas.width, canvas.height);
    pen(copy).drawImage(await createImageBitmap(blob), 0, 0);
    return copy;
  },
};

/** Average each pixel with its neighbours in one direction, Gaussian weights; the border's pixels go on beyond it. */
function alongRows(/** @type {HTMLCanvasElement} */ canvas, /** @type {number} */ sigma, /** @type {boolean} */ down) {
  const { width, height } = canvas;
  const { data } = pen(canvas).getImageData(0, 0, width, height);
  const result = new ImageData(width, height);
  const reach = Math.ceil(3 * sigma);
  const weights = Array.from({ length: 2 * reach + 1 }, (_, i) => Math.exp(-((i - reach) ** 2) / (2 * sigma ** 2)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const sums = [0, 0, 0];
      weights.forEach((weight, i) => {
        const nearX = down ? x : Math.min(width - 1, Math.max(0, x + i - reach));
        const nearY = down ? Math.min(height - 1, Math.max(0, y + i - reach)) : y;
        for (let c = 0; c < 3; c++) sums[c] += (weight / total) * data[4 * (nearY * width + nearX) + c];
      });
      result.data.set([...sums, 255], 4 * (y * width + x));
    }
  }
  const copy = blank(width, height);
  pen(copy).putImageData(result, 0, 0);
  return copy;
}

// ---------------------------------------------------------------- the camera

async function openCamera() {
  if (!navigator.mediaDevices?.getUserMedia) {
    return say("No camera", "Browsers open the camera only to pages on https or localhost. Choose a file instead.");
  }
  try {
    at("alert").replaceChildren();
    const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    at("camera").hidden = false;
    at("video").srcObject = stream;
    await at("video").play();
    at("shoot").focus();
  } catch (error) {
    closeCamera();
    const why = {
      NotAllowedError: "The camera was refused. Allow it for this page in the browser’s settings, or choose a file.",
      NotFoundError: "There is no camera on this device. Choose a file instead.",
      NotReadableError: "Another program uses the camera. Close it there, or choose a file.",
    };
    const name = /** @type {keyof typeof why} */ (/** @type {Error} */ (error).name);
    say("No camera", why[name] ?? `The camera cannot be used (${name}). Choose a file instead.`);
  }
}

function closeCamera() {
  for (const track of at("video").srcObject?.getTracks() ?? []) track.stop();
  at("video").srcObject = null;
  if (at("camera").contains(document.activeElement)) at("camera-open").focus();
  at("camera").hidden = true;
}

async function shoot() {
  const { videoWidth, videoHeight } = at("video");
  const canvas = blank(videoWidth, videoHeight);
  pen(canvas).drawImage(at("video"), 0, 0);
  closeCamera();
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
  await take(/** @type {Blob} */ (/** @type {unknown} */ (blob)), "camera.jpg");
}

// ---------------------------------------------------------------- wiring

function wire() {
  const on = (/** @type {string} */ id, /** @type {string} */ event, /** @type {(event: any) => void} */ act) => at(id).addEventListener(event, act);
  on("pick", "click", () => at("file").click());
  on("file", "change", () => {
    takeFiles(at("file").files);
    at("file").value = ""; // so that the same file can be chosen again
  });
  on("camera-open", "click", openCamera);
  on("camera-close", "click", closeCamera);
  on("shoot", "click", shoot);
  on("ask-report", "click", report);
  on("cancel", "click", () => state.running?.abort());
  on("copy", "click", copyCommand);
  on("card-link", "click", openDocument);
  on("openapi-link", "click", openDocument);
  on("token-form", "submit", (event) => {
    event.preventDefault();
    useToken(at("token").value.trim());
  });
  on("model", "change", () => {
    showModel();
    if (!state.image) return;
    state.answer = null;
    for (const id of ["answer", "report", "repeat"]) at(id).hidden = true;
    predict();
  });
  on("preview", "load", () => at("preview").classList.toggle("small-image", at("preview").naturalWidth < 160));
  on("preview", "error", () => {
    at("preview").hidden = true;
    at("preview-name").textContent += " (this browser cannot show it)";
  });
  document.addEventListener("paste", (event) => takeFiles(event.clipboardData?.files));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    at("choose").classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) at("choose").classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    at("choose").classList.remove("over");
    takeFiles(event.dataTransfer?.files);
  });
}

wire();
loadModels();
