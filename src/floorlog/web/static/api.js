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

export async function act(path, body, method = "POST") {
  const headers = { "Content-Type": "application/json" };
  return answer(await fetch(`/api/v1/${path}`, { method, headers, body: JSON.stringify(body) }));
}
