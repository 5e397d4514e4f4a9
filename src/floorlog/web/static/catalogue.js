// The catalogue as text: read, checked by the server, and kept as a new version.

import { act, ask, session } from "./api.js";
import { follow } from "./feed.js";
import { Model } from "./model.js";
import { write } from "./tile.js";
import { time } from "./words.js";

const FILE_BYTES_MAX = 4 << 20;
const element = (id) => document.getElementById(id);
const model = new Model();
let version = null;

async function load() {
  try {
    const found = await ask("catalogue");
    version = found.version;
    element("body").value = JSON.stringify(found.body, null, 2);
    write(element("version"), `version ${version}, ${time(found.recorded, model.now())}`);
    const { role } = await session;
    const may = role === "engineer" || role === "admin";
    element("body").disabled = !may;
    for (const id of ["check", "save", "file"]) element(id).disabled = !may;
    if (!may) tell(`Only engineers change it: you are ${role}.`);
  } catch (error) {
    tell(error.message, true);
  }
}

function tell(text, isFault = false) {
  write(element("told"), text);
  element("told").className = isFault ? "fault" : "";
}

// Where JSON breaks off, said in lines: a number of characters helps nobody.
function parse(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    const at = Number(/position (\d+)/.exec(error.message)?.[1]);
    if (Number.isNaN(at)) throw error;
    throw new Error(`line ${text.slice(0, at).split("\n").length}: ${error.message}`, { cause: error });
  }
}

async function send(isTrial) {
  tell("");
  try {
    const found = await act("catalogue", { version, body: parse(element("body").value), dry_run: isTrial }, "PUT");
    if (isTrial) { tell("It can be kept as it is. Nothing was changed."); return; }
    tell(`Version ${found.version} is the newest now.`);
    version = found.version;
    write(element("version"), `version ${version}`);
  } catch (error) {
    tell(error.message, true);
  }
}

element("check").addEventListener("click", () => send(true));
element("edit").addEventListener("submit", (event) => { event.preventDefault(); send(false); });
element("file").addEventListener("change", async () => {
  const [file] = element("file").files;
  if (!file) return;
  if (file.size > FILE_BYTES_MAX) { tell(`${file.name} is larger than 4 MiB.`, true); return; }
  element("body").value = await file.text();
  tell(`${file.name} is in the field: check it, then make it the newest version.`);
});
follow(model, { whole() {}, touched() {}, pulse() {} });
load();
