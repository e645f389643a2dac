// The OpenAPI document as a page: each call, what it takes, and a form to try it.

import { ask, element, onToken, saying } from "./common.js";

const main = document.querySelector("main");

async function show() {
  const api = await (await fetch("openapi.json")).json();
  const schemas = api.components.schemas;
  const resolve = (schema) =>
    schema?.$ref ? schemas[schema.$ref.split("/").pop()] : (schema ?? {});

  function kind(schema) {
    if (schema.$ref) return schema.$ref.split("/").pop();
    if (schema.anyOf) {
      const kinds = schema.anyOf.map(kind).filter((one) => one !== "null");
      return [...new Set(kinds)].join(" or ");
    }
    if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" or ");
    if (schema.type === "array") return `list of ${kind(schema.items ?? {})}`;
    if (schema.type === "object" && schema.additionalProperties)
      return `object of ${kind(schema.additionalProperties)}`;
    return schema.type ?? "anything";
  }

  function bounds(schema) {
    const found = [];
    if (schema.default != null) found.push(`default ${JSON.stringify(schema.default)}`);
    if ("minimum" in schema && "maximum" in schema)
      found.push(`${schema.minimum} to ${schema.maximum}`);
    if ("maxItems" in schema) found.push(`at most ${schema.maxItems}`);
    return found.join(", ");
  }

  function fields(schema) {
    const of = resolve(schema);
    const rows = Object.entries(of.properties ?? {}).map(([name, field]) => {
      const nested = field.description ?? resolve(field).description ?? "";
      const needed = of.required?.includes(name) ? "required" : "";
      return element(
        "tr",
        {},
        element("th", { scope: "row" }, name),
        element("td", {}, kind(field)),
        element("td", {}, [needed, bounds(field)].filter(Boolean).join(", ")),
        element("td", {}, nested),
      );
    });
    return element("div", { class: "wide" }, element("table", {}, element("tbody", {}, ...rows)));
  }

  // Ids of the file that is served, so that the examples work.
  const first = async (of, name) =>
    (await ask("v1/search", { text: "", of, k: 1 })).found[0]?.[name] ?? "?";
  const ids = await saying(async () => ({
    user: await first("users", "user"),
    item: await first("items", "item"),
  }));
  const examples = ids && {
    recommend: { user: ids.user, k: 5 },
    batch: { people: [{ user: ids.user }, { history: [ids.item] }], k: 3 },
    similar: { item: ids.item, k: 5 },
    explain: { user: ids.user, item: ids.item },
    user: { user: ids.user },
    items: { items: [ids.item] },
    search: { text: String(ids.item).slice(0, 3) },
  };

  function trial(path, call, body) {
    const shown = element("pre", { "aria-live": "polite", tabindex: "0" });
    shown.hidden = true;
    const id = `body-${call.operationId}`;
    const given = body && element("textarea", { id, rows: 3, spellcheck: "false" });
    if (given) given.value = JSON.stringify(examples?.[call.operationId] ?? {});
    const run = async (event) => {
      event.preventDefault();
      shown.hidden = false;
      try {
        const answer = await ask(path.slice(1), given ? JSON.parse(given.value) : undefined);
        shown.textContent = JSON.stringify(answer, null, 1);
      } catch (error) {
        shown.textContent = error.message;
      }
    };
    return element(
      "form",
      { class: "trial", submit: run },
      given && element("label", { for: id }, "Body"),
      given,
      element("button", {}, "Try it"),
      shown,
    );
  }

  const sections = Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, call]) => {
      const body = call.requestBody?.content["application/json"].schema;
      const answer = call.responses["200"].content["application/json"].schema;
      return element(
        "section",
        { class: "card" },
        element("h2", {}, element("code", {}, `${method.toUpperCase()} ${path}`), " ", call.summary),
        body && fields(body),
        element("h3", {}, "Answer"),
        fields(answer),
        trial(path, call, body),
      );
    }),
  );
  const others = ["Person", "Range", "Scored", "Had", "Item", "Term"].filter((name) => name in schemas);
  const parts = others.map((name) =>
    element("section", { class: "card" }, element("h2", {}, name), fields(schemas[name])),
  );
  main.replaceChildren(
    element(
      "p",
      {},
      "Every call takes and gives JSON. What is refused has a status of 4xx and says why in ",
      element("code", {}, "error"),
      ".",
    ),
    ...sections,
    ...parts,
  );
}

onToken(show);
show();
