// The page: which view is shown, of which model, and what all views share.
import {ask, explain, forget, key, Problem} from "./api.js";
import {change, go, hash, leftAs, read, state} from "./state.js";
import {truncates} from "./controls.js";
import * as wall from "./wall.js";
import * as detail from "./detail.js";
import * as morph from "./morph.js";
import * as edit from "./edit.js";
import * as score from "./score.js";
import * as about from "./about.js";

const get = id => document.getElementById(id);
const views = {wall, morph, edit, score};
let models = [], otherwise, watching = false;

/** The model that the address names, or the default one. */
function chosen() {
  const [name, version] = (state.fields.model || otherwise).split("@");
  const found = models.find(model => model.name === name) ?? models.find(model => model.name === otherwise);
  if (state.fields.model && found.name !== name) explain(new Problem(`There is no model ${name} here; this is ${found.title}.`));
  else if (version && version !== found.version) explain(new Problem(`This link is of ${state.fields.model}; the model now is ${found.title}, whose pictures differ.`));
  return found;
}

function route() {
  const {view} = read(), model = chosen();
  if (state.fields.model !== model.title) change({model: model.title});
  for (const name of Object.keys(views)) get(name).hidden = name !== view;
  document.body.dataset.view = view;
  document.title = `${model.name}: ${view} · gan-service`;
  get("model").value = model.name;
  for (const [what, has] of Object.entries({classes: model.classes, truncation: truncates(model), codes: model.codes.length, styles: model.styles})) {
    for (const place of document.querySelectorAll(`[data-for=${what}]`)) place.hidden = !has;
  }
  about.card(model);
  if (view !== "morph") morph.leave();
  if (view === "wall") wall.show(model, picture => detail.open(model, picture));
  else views[view].show(model);
  detail.show(model);
  tabs();
}

function tabs() {
  for (const link of document.querySelectorAll("[data-view]:is(a)")) {
    const {view} = link.dataset, here = view === state.view;
    link.toggleAttribute("aria-current", here);
    if (here) link.setAttribute("aria-current", "page");
    const fields = view === "morph" ? {model: state.fields.model, ...morph.chosen()} : {};
    link.href = here ? hash(view, state.fields) : fields.corners ? hash(view, fields) : leftAs(view, state.fields.model);
  }
}

async function start() {
  try {
    const found = await (await ask("models")).json();
    models = found.models.map(model => ({...model, title: `${model.name}@${model.version}`}));
    otherwise = found.default;
    get("unlock").close();
    get("model").replaceChildren(...models.map(({name}) => new Option(name)));
    forget();
    route();
    if (!watching) about.watch();
    watching = true;
  } catch (problem) {
    explain(problem);
  }
}

addEventListener("hashchange", () => { if (models.length) route(); });
addEventListener("popstate", () => { if (models.length) route(); });
addEventListener("state-changed", tabs);
get("model").onchange = () => go(state.view, {model: get("model").value});
get("skip").onclick = event => { event.preventDefault(); get("main").focus(); };

addEventListener("key-needed", () => {
  if (key.get()) get("unlock-why").textContent = "The service does not know this key. Type another one.";
  if (!get("unlock").open) get("unlock").showModal();
});
get("unlock").addEventListener("cancel", event => event.preventDefault()); // nothing is behind it
get("unlock-form").onsubmit = event => {
  event.preventDefault();
  key.set(get("unlock-form").key.value.trim());
  start();
};

for (const id of ["about-open", "live"]) get(id).onclick = () => get("about").showModal();
for (const button of document.querySelectorAll("[data-close]")) button.onclick = () => button.closest("dialog").close();
for (const dialog of document.querySelectorAll("dialog:not(#unlock)")) {
  dialog.addEventListener("click", event => { if (event.target === dialog) dialog.close(); });
}

const THEMES = {"": ["Theme: as the system", "◐"], light: ["Theme: light", "☀"], dark: ["Theme: dark", "☾"]};
function theme(name) {
  document.documentElement.dataset.theme = name;
  [get("theme").ariaLabel, get("theme").textContent] = THEMES[name];
  get("theme").title = THEMES[name][0];
  localStorage.setItem("gan-service theme", name);
}
const names = Object.keys(THEMES);
get("theme").onclick = () => theme(names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length]);
theme(names.find(name => name === localStorage.getItem("gan-service theme")) ?? "");

// A picture that is dropped, or pasted, is scored where scores are shown, and edited everywhere else.
function take(file) {
  if (!file || !models.length) return;
  if (!file.type.startsWith("image/")) { explain(new Problem(`${file.name} is no picture: PNG, JPEG and WebP are.`)); return; }
  if (state.view === "score") { score.take(file); return; }
  if (state.view !== "edit") { history.pushState(null, "", leftAs("edit", state.fields.model)); route(); }
  edit.invert(file);
}
addEventListener("dragover", event => {
  event.preventDefault();
  get("drop").classList.add("over");
  get("drop").firstChild.textContent = state.view === "score" ? "Drop it to score it" : "Drop it to find it in the model, and edit it";
});
addEventListener("dragleave", event => { if (!event.relatedTarget) get("drop").classList.remove("over"); });
addEventListener("drop", event => {
  event.preventDefault();
  get("drop").classList.remove("over");
  take(event.dataTransfer.files[0]);
});
addEventListener("paste", event => { if (event.clipboardData.files[0]) take(event.clipboardData.files[0]); });

start();
