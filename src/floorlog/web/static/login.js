// Logs in by name and password, and goes where the visitor wanted to.

const form = document.getElementById("login");
const refused = document.getElementById("refused");

// Only an address of this page: another site's would take the visitor away.
function wanted() {
  const to = new URLSearchParams(location.search).get("to") ?? "/";
  const url = new URL(to, location.origin);
  return url.origin === location.origin ? url.pathname + url.search : "/";
}

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  refused.textContent = "";
  const { name, password } = Object.fromEntries(new FormData(form));
  try {
    const answer = await fetch("/api/v1/login", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ name, password }),
    });
    if (!answer.ok) throw new Error((await answer.json()).detail);
    location.assign(wanted());
  } catch (error) {
    refused.textContent = error.message;
    form.elements.password.value = "";
    form.elements.password.focus();
  }
});
