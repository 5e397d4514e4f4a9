// Questions to this page's server, and what people do: one way to ask, one way to fail.

async function answer(response) {
  const content = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(content.detail ?? content.error ?? response.statusText);
  return content;
}

// An argument whose value is undefined is left out; an array becomes one argument each.
export async function ask(path, query = {}) {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value].flat()) if (one !== undefined && one !== null) words.append(name, one);
  }
  const text = words.toString();
  return answer(await fetch(`/api/v1/${path}${text && `?${text}`}`));
}

// Who this is: { name, role, token, ways }. Without ways nobody logs in: local mode.
export const session = ask("session");

export async function act(path, body, method = "POST") {
  const { token } = await session;
  const headers = { "Content-Type": "application/json", ...(token && { "X-Floorlog-Token": token }) };
  // What is taken back when a page is left still gets there: keepalive.
  const keepalive = method === "DELETE";
  return answer(await fetch(`/api/v1/${path}`, { method, headers, keepalive, body: body && JSON.stringify(body) }));
}

// The name of who is logged in, and the way out.
export async function greet(place) {
  const { name, role, ways } = await session;
  if (!ways.length || !name) return;
  const out = document.createElement("button");
  out.type = "button";
  out.textContent = "Log out";
  out.addEventListener("click", async () => { await act("logout"); location.assign("/login"); });
  place.replaceChildren(`${name}, ${role} `, out);
}
