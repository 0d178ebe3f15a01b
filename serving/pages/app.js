// The page: which view is shown, of which model, and what all views share.
import {ask, attempt, explain, key, Problem} from "./api.js";
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
let models = [], otherwise;

/** The model that the address names, or the default one. */
function chosen() {
  const [name, version] = (state.fields.model || otherwise).split("@");
  const found = models.find(model => model.name === name) ?? models.find(model => model.name === otherwise);
  if (found.name !== name) explain(new Problem(`There is no model ${name} here; this is ${found.title}.`, 404));
  else if (version && version !== found.version) explain(new Problem(`This link is of ${state.fields.model}; the model now is ${found.title}, whose pictures differ.`, 404));
  return found;
}

function route() {
  const {view} = read(), model = chosen();
  if (state.fields.model !== model.title) change({model: model.title});
  for (const name of Object.keys(views)) get(name).hidden = name !== view;
  document.body.dataset.view = view;
  document.title = `${model.name}: ${view} · gan-service`;
  get("model").value = model.name;
  for (const [what, has] of Object.entries({classes: model.classes, truncation: truncates(model), codes: model.codes.length})) {
    for (const place of document.querySelectorAll(`[data-for=${what}]`)) place.hidden = !has;
  }
  about.card(model);
  if (view !== "morph") morph.leave();
  if (view === "wall") wall.show(model, picture => detail.open(model, picture));
  else views[view].show(model);
  detail.show(model);
  tabs();
}

/** Links to the views, as they were left, or to the plane of the pictures that were chosen for it. */
function tabs() {
  for (const link of document.querySelectorAll("a[data-view]")) {
    const {view} = link.dataset, here = view === state.view, corners = view === "morph" && morph.chosen().corners;
    link.ariaCurrent = here ? "page" : null;
    link.href = here ? hash(view, state.fields) : corners ? hash(view, {model: state.fields.model, corners}) : leftAs(view, state.fields.model);
  }
}

const start = attempt(async () => {
  const found = await (await ask("models")).json();
  models = found.models.map(model => ({...model, title: `${model.name}@${model.version}`}));
  otherwise = found.default;
  get("unlock").close();
  get("model").replaceChildren(...models.map(({name}) => new Option(name)));
  about.watch();
  route();
});
addEventListener("popstate", () => { if (models.length) route(); }); // links to a view, too
addEventListener("state-changed", tabs);
get("model").onchange = () => go(state.view, {model: get("model").value});
get("skip").onclick = event => { event.preventDefault(); get("main").focus(); };

addEventListener("key-needed", () => {
  if (key.get()) get("unlock-why").textContent = "The service does not know this key. Type another one.";
  if (!get("unlock").open) get("unlock").showModal();
});
get("unlock").addEventListener("close", () => { if (!models.length) get("unlock").showModal(); }); // nothing is behind it
get("unlock-form").onsubmit = event => {
  event.preventDefault();
  key.set(get("unlock-form").key.value.trim());
  start();
};

for (const id of ["about-open", "live"]) get(id).onclick = () => get("about").showModal();
for (const button of document.querySelectorAll("[data-close]")) button.onclick = () => button.closest("dialog").close();
for (const dialog of document.querySelectorAll("dialog:not(#unlock)")) dialog.onclick = event => { if (event.target === dialog) dialog.close(); };

const THEMES = {"": ["Theme: as the system", "◐"], light: ["Theme: light", "☀"], dark: ["Theme: dark", "☾"]};
const {dataset} = document.documentElement, names = Object.keys(THEMES);
function theme(name) {
  const [title, textContent] = THEMES[name];
  Object.assign(get("theme"), {title, textContent, ariaLabel: title});
  localStorage.setItem("gan-service theme", dataset.theme = name);
}
get("theme").onclick = () => theme(names[(names.indexOf(dataset.theme) + 1) % names.length]);
theme(names.find(name => name === localStorage.getItem("gan-service theme")) ?? "");

// A picture that is dropped, or pasted, is scored where scores are shown, and edited everywhere else.
const take = attempt(async file => {
  if (!file || !models.length) return;
  if (!file.type.startsWith("image/")) throw new Problem(`${file.name} is no picture: PNG, JPEG and WebP are.`, 415);
  if (state.view === "score") return score.take(file);
  if (state.view !== "edit") { history.pushState(null, "", leftAs("edit", state.fields.model)); route(); }
  return edit.invert(file);
});
const over = on => get("drop").classList.toggle("over", on);
addEventListener("dragover", event => {
  event.preventDefault();
  over(true);
  get("drop").firstChild.textContent = state.view === "score" ? "Drop it to score it" : "Drop it to find it in the model, and edit it";
});
addEventListener("dragleave", event => { if (!event.relatedTarget) over(false); });
addEventListener("drop", event => { event.preventDefault(); over(false); take(event.dataTransfer.files[0]); });
addEventListener("paste", event => { if (event.clipboardData.files[0]) take(event.clipboardData.files[0]); });
start();
