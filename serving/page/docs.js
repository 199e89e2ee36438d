// The page at /docs: draws openapi.json for people. No library, no request to another host; every URL is relative.
// @ts-check

/** @typedef {Record<string, any>} Json */

/** @param {string} id @returns {any} */
const at = (id) => document.getElementById(id);
const TOKEN_KEY = "hardener-token"; // as the page at / keeps it

/** Make an element; a text child is never read as HTML. @returns {any} */
function h(/** @type {string} */ tag, /** @type {Json} */ attributes = {}, /** @type {any[]} */ ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value != null) element.setAttribute(name, String(value));
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

const code = (/** @type {any} */ text) => h("code", {}, String(text));
const shown = (/** @type {any} */ value) => h("pre", {}, typeof value === "string" ? value : JSON.stringify(value, null, 2));
const nameOf = (/** @type {string} */ reference) => reference.split("/").pop() ?? "";

/** A schema in a few words; a named one is a link. @returns {any[]} */
function kind(/** @type {Json} */ schema) {
  if (schema.$ref) return [h("a", { href: `#schema-${nameOf(schema.$ref)}` }, nameOf(schema.$ref))];
  if (schema.anyOf) return schema.anyOf.flatMap((/** @type {Json} */ each, /** @type {number} */ place) => [place ? " or " : "", ...kind(each)]);
  if (schema.type === "array") return ["list of ", ...kind(schema.items ?? {})];
  if (schema.enum) return [schema.enum.map((/** @type {any} */ value) => JSON.stringify(value)).join(", ")];
  if (schema.const !== undefined) return [JSON.stringify(schema.const)];
  if (schema.type === "object" && typeof schema.additionalProperties === "object") return ["names, each with ", ...kind(schema.additionalProperties)];
  const form = schema.format === "binary" ? "file" : schema.contentEncoding ?? schema.type ?? "anything";
  const ends = [["at least", schema.minimum], ["at most", schema.maximum], ["at most", schema.maxItems]];
  return [form, ...ends.filter(([, end]) => end !== undefined).map(([word, end]) => `, ${word} ${end}`)];
}

function table(/** @type {string[]} */ heads, /** @type {any[][]} */ rows) {
  const head = h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)));
  return h("div", { class: "wide" }, h("table", {}, h("thead", {}, head), h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell) => h("td", {}, cell)))))));
}

/** The command that asks it. */
function curl(/** @type {string} */ path, /** @type {string} */ method, /** @type {Json} */ operation) {
  const url = new URL(`.${path}`, document.baseURI).href;
  const token = operation.security ? ' -H "Authorization: Bearer $TOKEN"' : "";
  const form = operation.requestBody?.content["multipart/form-data"];
  const many = path.endsWith("/batch") ? " -F image=@dog.jpg" : "";
  return `curl${token}${form ? ` -F image=@cat.jpg${many}` : method === "get" ? "" : ` -X ${method.toUpperCase()}`} '${url}'`;
}

function operationOf(/** @type {string} */ path, /** @type {string} */ method, /** @type {Json} */ operation) {
  const parameters = (operation.parameters ?? []).map((/** @type {Json} */ each) => [code(each.name), kind(each.schema), each.schema.description ?? ""]);
  const bodies = Object.entries(operation.requestBody?.content ?? {}).map(([type, body]) => [code(type), kind(body.schema)]);
  const answers = Object.entries(operation.responses).map(([status, answer]) => [code(status), answer.description, Object.keys(answer.content ?? {}).join(", ")]);
  const [good] = Object.entries(operation.responses["200"]?.content ?? {});
  return h("section", { id: `path-${operation.operationId}` },
    h("h2", {}, h("span", { class: "method" }, method.toUpperCase()), path),
    h("p", {}, operation.summary),
    shown(curl(path, method, operation)),
    parameters.length > 0 && [h("h3", {}, "Options of the URL"), table(["option", "value", "meaning"], parameters)],
    bodies.length > 0 && [h("h3", {}, "Body"), table(["type", "content"], bodies), h("p", { class: "soft" }, operation.requestBody.description ?? "")],
    h("h3", {}, "Answers"),
    table(["status", "when", "type"], answers),
    good?.[1].schema?.$ref && h("p", {}, "200 is a ", kind(good[1].schema), "."),
    good?.[1].example !== undefined && h("details", {}, h("summary", {}, "Example of an answer"), shown(good[1].example)),
  );
}

function schemaOf(/** @type {string} */ name, /** @type {Json} */ schema) {
  const required = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties ?? {}).map(([key, each]) => [code(key), [...kind(each), required.has(key) ? "" : h("span", { class: "soft" }, ", may be absent")], each.description ?? ""]);
  return h("section", { id: `schema-${name}` }, h("h2", {}, name), schema.description && h("p", {}, schema.description), table(["key", "value", "meaning"], rows));
}

function draw(/** @type {Json} */ told) {
  at("about").replaceChildren(`${told.info.title} ${told.info.version}. ${told.info.summary}. For programs: `, h("a", { href: "openapi.json" }, "openapi.json"), ".");
  const operations = Object.entries(told.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]) => ({ path, method, operation })))
    .filter(({ operation }) => !/^text\/(css|javascript)$/.test(Object.keys(operation.responses["200"].content)[0])); // the pages' own files
  at("list").replaceChildren(h("ul", {}, operations.map(({ path, method, operation }) => h("li", {}, h("span", { class: "method" }, method.toUpperCase()), h("a", { href: `#path-${operation.operationId}` }, path)))));
  at("paths").replaceChildren(...operations.map(({ path, method, operation }) => operationOf(path, method, operation)));
  at("schemas").replaceChildren(h("h2", {}, "What is sent and answered"), ...Object.entries(told.components.schemas).map(([name, schema]) => schemaOf(name, schema)));
  if (location.hash) at(location.hash.slice(1))?.scrollIntoView();
}

async function read() {
  const token = sessionStorage.getItem(TOKEN_KEY);
  try {
    const answer = await fetch("openapi.json", { headers: token ? { Authorization: `Bearer ${token}` } : {} });
    at("token-form").hidden = answer.status !== 401;
    const told = await answer.json();
    if (answer.ok) draw(told);
    else at("about").textContent = told.detail ?? `The service answered ${answer.status}.`;
  } catch {
    at("about").textContent = "The service cannot be reached. Is it still running?";
  }
}

at("token-form").addEventListener("submit", (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN_KEY, at("token").value.trim());
  read();
});
read();
