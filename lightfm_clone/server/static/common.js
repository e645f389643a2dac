// What both pages share: elements whose texts are texts, calls, and the token.

export const get = (id) => document.getElementById(id);

/** An element; children are elements or texts, and a text never becomes markup. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

export class Refusal extends Error {
  constructor(status, content) {
    super(content.error ?? `The server answered ${status}.`);
    this.status = status;
    this.near = content.near ?? [];
  }
}

/** The answer of a call; a GET without a body. */
export async function ask(path, body) {
  const token = sessionStorage.getItem("token");
  const answer = await fetch(path, {
    method: body === undefined ? "GET" : "POST",
    headers: token ? { Authorization: `Bearer ${token}` } : {},
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const content = await answer.json().catch(() => ({}));
  if (answer.ok) return content;
  if (answer.status === 401) get("token").hidden = false;
  throw new Refusal(answer.status, content);
}

/** Run what asks, and say it where it is refused. */
export async function saying(work) {
  try {
    const found = await work();
    get("said").textContent = "";
    return found;
  } catch (error) {
    get("said").textContent = error.message;
  }
}

export function onToken(again) {
  get("token").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem("token", get("token-text").value);
    get("token").hidden = true;
    again();
  });
}
