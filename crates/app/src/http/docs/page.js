// Shows /openapi.json. What the document says becomes text nodes only, never markup.
"use strict";

const METHODS = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
let openapi = {};

function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

function quiet(text) {
  return text ? make("span", { class: "quiet" }, text) : null;
}

/** What a `$ref` stands for, with the name that it was called by. */
function resolve(value) {
  let name = "";
  for (let hops = 0; value && value.$ref && hops < 16; hops += 1) {
    const path = value.$ref.replace(/^#\//, "").split("/");
    name = path[path.length - 1];
    value = path.reduce((at, key) => (at || {})[key.replace(/~1/g, "/").replace(/~0/g, "~")], openapi);
  }
  return [value === undefined || value === null ? {} : value, name];
}

/** A schema in a few words. */
function kind(schema) {
  const [target, name] = resolve(schema);
  if (name) return name;
  if (target === true || target === false) return target ? "anything" : "nothing";
  for (const key of ["oneOf", "anyOf", "allOf"]) {
    if (target[key]) return target[key].map(kind).join(key === "allOf" ? " and " : " or ");
  }
  if ("const" in target) return JSON.stringify(target.const);
  if (target.enum) return target.enum.map((value) => JSON.stringify(value)).join(" or ");
  const types = [target.type || "anything"].flat();
  return types.map((type) => (type === "array" ? `array of ${kind(target.items || {})}` : type)).join(" or ");
}

/** What a value has to keep to beside its type. */
function bounds(schema) {
  const keys = ["format", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "default"];
  return keys.filter((key) => key in schema).map((key) => `${key} ${JSON.stringify(schema[key])}`).join(", ");
}

/** What is inside a schema: its properties, its items, its alternatives. */
function parts(schema) {
  const required = schema.required || [];
  const found = Object.entries(schema.properties || {})
    .map(([name, part]) => [required.includes(name) ? `${name} (required)` : name, part]);
  if (typeof schema.additionalProperties === "object") found.push(["any other key", schema.additionalProperties]);
  if (schema.items) found.push(["each item", schema.items]);
  for (const key of ["oneOf", "anyOf", "allOf"]) found.push(...(schema[key] || []).map((part) => [kind(part), part]));
  return found;
}

/** A schema that folds. What is inside is made when it is opened: a schema may hold itself. */
function shown(label, schema, open) {
  const [target] = resolve(schema);
  const inside = parts(target);
  const said = schema.description || target.description;
  const facts = [kind(schema), bounds(target)].filter(Boolean).join("; ");
  const line = [make("code", {}, label), " ", quiet(facts), said ? ` ${said}` : null];
  if (inside.length === 0) return make("div", { class: "schema" }, line);
  const details = make("details", { class: "schema" }, make("summary", {}, line));
  const fill = () => {
    if (details.open && details.childElementCount === 1) details.append(...inside.map(([name, part]) => shown(name, part)));
  };
  details.addEventListener("toggle", fill);
  details.open = Boolean(open);
  fill();
  return details;
}

/** A value that the schema takes, for where the document gives none. */
function sample(schema, depth = 0) {
  const [target] = resolve(schema);
  if (target.example !== undefined) return target.example;
  if (target.examples && target.examples.length) return target.examples[0];
  if ("const" in target) return target.const;
  if (target.default !== undefined) return target.default;
  if (target.enum) return target.enum[0];
  const choice = (target.oneOf || target.anyOf || []).find((part) => part.type !== "null");
  if (choice) return sample(choice, depth + 1);
  const type = [target.type].flat().find((name) => name !== "null");
  if (target.allOf) return Object.assign({}, ...target.allOf.map((part) => sample(part, depth + 1)));
  if (type === "object" && depth < 6) {
    return Object.fromEntries(Object.entries(target.properties || {}).map(([name, part]) => [name, sample(part, depth + 1)]));
  }
  if (type === "array") return depth < 6 && target.items ? [sample(target.items, depth + 1)] : [];
  return { string: "text", integer: target.minimum || 0, number: 0, boolean: false, object: {} }[type] ?? null;
}

/** The bodies of a request or an answer, by content type. */
function contents(content, title, open) {
  return Object.entries(content || {}).flatMap(([type, media]) => {
    const named = Object.values(media.examples || {}).map((example) => resolve(example)[0].value);
    const example = media.example ?? named[0] ?? (media.schema ? sample(media.schema) : undefined);
    const text = typeof example === "string" ? example : JSON.stringify(example, null, 2);
    return [
      media.schema ? shown(type, media.schema, open) : make("div", { class: "schema" }, make("code", {}, type)),
      text === undefined ? null : make("details", open ? { open: "" } : {}, make("summary", {}, title), make("pre", { tabindex: "0" }, text)),
    ];
  });
}

function table(caption, heads, rows) {
  const cells = (tag, row, scope) => make("tr", {}, row.map((cell) => make(tag, scope ? { scope } : {}, cell || "")));
  return make("table", { "aria-label": caption }, make("thead", {}, cells("th", heads, "col")), make("tbody", {}, rows.map((row) => cells("td", row))));
}

function security(requirements) {
  const ways = (requirements || []).map((way) => Object.keys(way).join(" and ") || "no credentials");
  return ways.length ? ways.join(", or ") : "no credentials";
}

function answers(responses) {
  return Object.entries(responses || {}).map(([status, response]) => {
    const [target] = resolve(response);
    const headers = Object.entries(target.headers || {})
      .map(([name, header]) => [make("code", {}, name), kind(resolve(header)[0].schema || {}), resolve(header)[0].description]);
    return make("details", {}, make("summary", {}, make("code", {}, status), ` ${target.description || ""}`),
      headers.length ? table(`Headers of ${status}`, ["header", "type", "meaning"], headers) : null,
      contents(target.content, "example", false));
  });
}

function operation(method, path, item, id) {
  const details = item[method];
  const parameters = [...(item.parameters || []), ...(details.parameters || [])].map((parameter) => resolve(parameter)[0]);
  const rows = parameters.map((parameter) => [
    make("code", {}, parameter.name), parameter.in + (parameter.required ? ", required" : ""),
    [kind(parameter.schema || {}), bounds(resolve(parameter.schema || {})[0])].filter(Boolean).join("; "), parameter.description,
  ]);
  const [body] = resolve(details.requestBody || {});
  return make("details", { class: "operation", id },
    make("summary", {}, make("code", { class: "method" }, method.toUpperCase()), make("code", {}, path), " ", quiet(details.summary)),
    details.description && details.description !== details.summary ? make("p", {}, details.description) : null,
    make("p", {}, quiet(`Credentials: ${security(details.security || openapi.security)}`)),
    rows.length ? [make("h4", {}, "Parameters"), table("Parameters", ["name", "where", "type", "meaning"], rows)] : null,
    body.content ? [make("h4", {}, `Body${body.required ? ", required" : ""}`), contents(body.content, "request example", true)] : null,
    make("h4", {}, "Answers"), answers(details.responses));
}

function render() {
  const groups = new Map();
  for (const [path, item] of Object.entries(openapi.paths || {})) {
    for (const method of METHODS.filter((name) => item[name])) {
      const tag = (item[method].tags || ["other"])[0];
      const id = `${method}-${path.replace(/[^A-Za-z0-9]+/g, "-")}`;
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push([operation(method, path, item, id), `${method.toUpperCase()} ${path}`, id]);
    }
  }
  const schemes = Object.entries((openapi.components || {}).securitySchemes || {});
  const about = openapi.info || {};
  document.getElementById("title").textContent = `${about.title || ""} ${about.version || ""}`;
  document.getElementById("description").textContent = about.description || "";
  const links = (list) => make("ul", {}, list.map(([, label, id]) => make("li", {}, make("a", { href: `#${id}` }, make("code", {}, label)))));
  document.getElementById("contents").replaceChildren(...[...groups].flatMap(([tag, list]) => [make("h2", {}, tag), links(list)]));
  document.getElementById("operations").replaceChildren(
    ...[...groups].map(([tag, list]) => make("section", { "aria-label": tag }, make("h2", {}, tag), list.map(([element]) => element))),
    make("section", { "aria-label": "credentials" }, make("h2", {}, "credentials"),
      schemes.map(([name, scheme]) => make("p", {}, make("code", {}, name), ` ${[scheme.type, scheme.scheme].filter(Boolean).join(" ")}: ${scheme.description || ""}`))));
}

/** Opens the operation that the address names. */
function follow() {
  const target = document.getElementById(location.hash.slice(1));
  if (!target || !target.matches(".operation")) return;
  target.open = true;
  target.scrollIntoView();
  target.querySelector("summary").focus();
}

fetch("openapi.json")
  .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(`it was answered with ${answer.status}`))))
  .then((found) => { openapi = found; render(); follow(); addEventListener("hashchange", follow); })
  .catch((error) => { document.getElementById("state").textContent = `The OpenAPI document cannot be shown: ${error.message}`; });
