// The explorer. What is shown is in the address: #user=7, #item="a", #visitor=["a","b"].

import { ask, element, get, onToken, saying } from "./common.js";

const LENGTH = 12;
const main = document.querySelector("main");
const dials = { popularity: 0, diversity: 0, exclude: true };
let model = null;
let turn = 0; // what a later view has overtaken is not shown any more

const number = (value) => value.toLocaleString("en");
const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(3);
const link = (kind, id, text) =>
  element("a", { href: `#${kind}=${encodeURIComponent(JSON.stringify(id))}` }, text);

// ---- items, with their titles -------------------------------------------------------------------

const known = new Map(); // what the server has said of items, by id

async function titles(ids) {
  const missing = [...new Set(ids)].filter((id) => !known.has(id));
  for (let first = 0; first < missing.length; first += 100) {
    const { items } = await ask("v1/items", { items: missing.slice(first, first + 100) });
    for (const item of items) known.set(item.item, item);
  }
}

function named(id) {
  const title = known.get(id)?.title;
  const texts = [link("item", id, String(title ?? id))];
  if (title != null) texts.push(" ", element("small", {}, String(id)));
  return element("span", { class: "name" }, ...texts);
}

function facts(id) {
  const about = known.get(id);
  const rest = Object.entries(about?.columns ?? {}).filter(
    ([name, value]) => value != null && name !== model.title,
  );
  return rest.map(([name, value]) => `${name} ${[value].flat().join(", ")}`).join(" · ");
}

// ---- views --------------------------------------------------------------------------------------

async function showUser(user, mine) {
  const about = await ask("v1/user", { user, k: 30 });
  await titles(about.history.map((one) => one.item));
  if (mine !== turn) return;
  const list = element("section", { class: "card" }, element("h3", {}, "Recommended"));
  main.replaceChildren(
    element("h2", {}, `Person ${user}`),
    element("p", { class: "facts" }, about.features.join(" · ")),
    dialsFor(() => fill(list, { user }, mine)),
    element("div", { class: "columns" }, list, history(about)),
  );
  await fill(list, { user }, mine);
}

function history(about) {
  const said = `${number(about.n_items)} ${about.n_items === 1 ? "item" : "items"}`;
  const rows = about.history.map((one) => {
    const when = one.time ? one.time.slice(0, 10) : "";
    const what = [...(one.events ?? []), when].filter(Boolean).join(" · ");
    return element("li", {}, named(one.item), element("p", { class: "facts" }, what));
  });
  return element(
    "section",
    { class: "card" },
    element("h3", {}, "History ", element("small", {}, said)),
    rows.length ? element("ul", {}, ...rows) : element("p", {}, "Nothing yet."),
  );
}

async function showVisitor(items, mine) {
  await titles(items);
  if (mine !== turn) return;
  const list = element("section", { class: "card" }, element("h3", {}, "Recommended"));
  const rows = items.map((id) =>
    element(
      "li",
      {},
      named(id),
      button("Remove", `Remove ${known.get(id).title ?? id}`, () =>
        go("visitor", items.filter((other) => other !== id)),
      ),
    ),
  );
  main.replaceChildren(
    element("h2", {}, "A visitor who looked at these items"),
    dialsFor(() => fill(list, { history: items }, mine)),
    element(
      "div",
      { class: "columns" },
      list,
      element("section", { class: "card" }, element("h3", {}, "History"), element("ul", {}, ...rows)),
    ),
  );
  await fill(list, { history: items }, mine);
}

async function showItem(item, mine) {
  const [{ items }, like] = await Promise.all([
    ask("v1/items", { items: [item] }),
    // A model without neighbours refuses; the item is shown all the same.
    ask("v1/similar", { item, k: LENGTH }).catch((error) => ({ items: [], refused: error.message })),
  ]);
  await titles(like.items.map((one) => one.item));
  if (mine !== turn) return;
  const [about] = items;
  const cells = Object.entries(about.columns).map(([name, value]) => [
    element("dt", {}, name),
    element("dd", {}, value == null ? "–" : [value].flat().join(", ")),
  ]);
  const rows = like.items.map(({ item: id, score }) =>
    element("li", {}, named(id), bar(score, 1), element("p", { class: "facts" }, facts(id))),
  );
  main.replaceChildren(
    element("h2", {}, String(about.title ?? about.item)),
    element(
      "p",
      {},
      link("visitor", [about.item], "What a visitor gets who looked at this"),
    ),
    element(
      "div",
      { class: "columns" },
      element(
        "section",
        { class: "card" },
        element("h3", {}, "Neighbours ", element("small", {}, "by the cosine of their vectors")),
        rows.length ? element("ol", {}, ...rows) : element("p", {}, like.refused ?? "None."),
      ),
      element(
        "section",
        { class: "card" },
        element("h3", {}, "About"),
        element(
          "dl",
          {},
          element("dt", {}, "id"),
          element("dd", {}, String(about.item)),
          element("dt", {}, "people"),
          element("dd", {}, number(about.people)),
          ...cells.flat(),
        ),
      ),
    ),
  );
}

async function showStart(mine) {
  const found = await ask("v1/search", { text: "", of: "users", k: 8 });
  if (mine !== turn) return;
  main.replaceChildren(
    element("h2", {}, "Begin with somebody"),
    element("p", {}, "Search above, or take one of these:"),
    element(
      "ul",
      { class: "chips" },
      ...found.found.map(({ user }) => element("li", {}, link("user", user, String(user)))),
    ),
  );
}

// ---- lists --------------------------------------------------------------------------------------

let lists = 0;

async function fill(card, person, mine) {
  const own = ++lists;
  const isOld = () => mine !== turn || own !== lists;
  card.setAttribute("aria-busy", "true");
  try {
    const list = await ask("v1/recommend", { ...person, k: LENGTH, ...dials });
    await titles(list.items.map((one) => one.item));
    if (isOld()) return;
    const best = Math.max(...list.items.map((one) => one.score));
    const worst = Math.min(...list.items.map((one) => one.score));
    const share = (score) => (best > worst ? 0.15 + (0.85 * (score - worst)) / (best - worst) : 1);
    const rows = list.items.map(({ item, score }) => {
      const about = element("p", { class: "facts" }, facts(item));
      const end = person.history
        ? button("Add", `Add ${known.get(item).title ?? item}`, () =>
            go("visitor", [...person.history, item]),
          )
        : null;
      return { item, row: element("li", {}, named(item), bar(score, share(score)), end, about) };
    });
    const by = { known: "what they did", features: "their row of the table", history: "the history",
      popular: "popularity alone" };
    card.replaceChildren(
      element("h3", {}, "Recommended ", element("small", {}, `by ${by[list.source]}`)),
      rows.length
        ? element("ol", {}, ...rows.map(({ row }) => row))
        : element("p", {}, "No item is left."),
    );
    if (person.user == null || list.source === "popular") return;
    for (const { item, row } of rows) {
      const reasons = await ask("v1/explain", { ...person, item, k: 8 });
      if (isOld()) return;
      row.append(why(reasons, person.user, item));
    }
  } catch (error) {
    // A popularity has no reasons: then the list goes without.
    if (!isOld() && !card.querySelector("ol")) get("said").textContent = error.message;
  } finally {
    if (!isOld()) card.removeAttribute("aria-busy");
  }
}

function why(reasons, user, item) {
  // Features of somebody's own are called by their ids.
  const called = (name) => {
    if (name === String(user)) return "the person";
    if (name === String(item)) return "this item";
    const other = known.get(name) ?? known.get(Number(name));
    return String(other?.title ?? name);
  };
  const words = (term) => {
    const names = [term.user_feature, term.item_feature].filter((name) => name != null);
    const text = names.map(called).join(term.kind === "history" ? " → " : " × ");
    return ["pair", "history"].includes(term.kind) ? text : `${term.kind} ${text && `of ${text}`}`;
  };
  const speaks = (term) => ["pair", "history"].includes(term.kind) && term.value > 0;
  const best = reasons.terms.find(speaks) ?? reasons.terms[0];
  const rows = reasons.terms.map((term) =>
    element("tr", {}, element("td", {}, signed(term.value)), element("td", {}, words(term))),
  );
  const rest = element("tr", {}, element("td", {}, signed(reasons.rest)), element("td", {}, "all others"));
  return element(
    "details",
    {},
    element("summary", {}, "Why: ", words(best), " ", signed(best.value)),
    element("table", {}, element("tbody", {}, ...rows, rest)),
  );
}

function bar(score, share) {
  const shown = Math.max(0, Math.min(1, share));
  return element(
    "span",
    { class: "side" },
    element("meter", { min: 0, max: 1, value: shown.toFixed(3), "aria-hidden": "true" }),
    score.toFixed(2).replace("-", "−"),
  );
}

function button(text, label, pressed) {
  return element("button", { type: "button", class: "small", "aria-label": label, click: pressed }, text);
}

function dialsFor(changed) {
  let waits = 0;
  const slider = (name, low, high, words) => {
    const told = element("output", { for: name }, words(dials[name]));
    const input = element("input", {
      type: "range", id: name, min: low, max: high, step: 0.1, value: dials[name],
      input: () => {
        dials[name] = Number(input.value);
        told.textContent = words(dials[name]);
        clearTimeout(waits);
        waits = setTimeout(changed, 150);
      },
    });
    const label = name[0].toUpperCase() + name.slice(1);
    return element("div", {}, element("label", { for: name }, label, " ", told), input);
  };
  const choices = { true: "all they have", false: "nothing" };
  for (const kind of model.kinds_of_events) choices[JSON.stringify(kind)] = kind;
  const choice = element("select", { id: "exclude", change: () => {
    dials.exclude = JSON.parse(choice.value);
    changed();
  } });
  for (const [value, text] of Object.entries(choices)) {
    const chosen = JSON.stringify(dials.exclude) === value;
    choice.append(element("option", { value, selected: chosen }, text));
  }
  const tail = (value) => (value ? signed(value).replace(/00$/, "") : "0");
  return element(
    "form",
    { class: "dials card", "aria-label": "Dials", submit: (event) => event.preventDefault() },
    slider("popularity", -2, 2, tail),
    slider("diversity", 0, 0.9, (value) => String(value)),
    element("div", {}, element("label", { for: "exclude" }, "Leave out"), choice),
  );
}

// ---- search -------------------------------------------------------------------------------------

async function search(entered) {
  const text = get("text").value.trim();
  const of = new FormData(get("search")).get("of");
  if (!text) return;
  const mine = ++turn;
  await saying(async () => {
    const { found } = await ask("v1/search", { text, of, k: 30 });
    if (mine !== turn) return;
    const kind = of === "users" ? "user" : "item";
    if (entered && found.length === 1) return go(kind, found[0][kind]);
    const rows = found.map((one) => {
      const id = one[kind];
      const texts = [link(kind, id, String(one.title ?? id))];
      if (one.title != null) texts.push(" ", element("small", {}, String(id)));
      return element("li", {}, element("span", { class: "name" }, ...texts));
    });
    main.replaceChildren(
      element("h2", {}, rows.length ? "Found" : "Nothing found"),
      element("ul", { class: rows.length ? "card" : "" }, ...rows),
    );
  });
}

let typing = 0;
get("search").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(search, 150, false);
});
get("search").addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(typing);
  search(true);
});

// ---- the address --------------------------------------------------------------------------------

function go(kind, id) {
  location.hash = `${kind}=${encodeURIComponent(JSON.stringify(id))}`;
}

async function show() {
  const mine = ++turn;
  const [kind, , text] = location.hash.slice(1).split(/(=)/);
  const views = { user: showUser, item: showItem, visitor: showVisitor };
  await saying(async () => {
    if (model === null) {
      model = await ask("v1/model");
      get("model").textContent =
        `${number(model.users)} people · ${number(model.items)} items · ` +
        `${number(model.pairs)} pairs · version ${model.version}`;
    }
    if (!(kind in views)) return showStart(mine);
    let id;
    try {
      id = JSON.parse(decodeURIComponent(text));
    } catch {
      throw new Error("The address does not name anything that can be shown.");
    }
    return views[kind](id, mine);
  });
}

addEventListener("hashchange", () => {
  get("text").value = "";
  show().then(() => main.querySelector("h2")?.scrollIntoView({ block: "nearest" }));
});
onToken(show);
show();
