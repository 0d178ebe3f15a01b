// A picture, and what the model's directions, classes, codes and styles make of it.
import {ask, bitmap, explain, fileName, forget, newest, post, save, say} from "./api.js";
import {anySeed, change, named, packed, state, unpacked, wrap} from "./state.js";
import {element, fetchPictures} from "./pictures.js";
import {Compare} from "./compare.js";
import {build} from "./controls.js";

const get = id => document.getElementById(`edit-${id}`);
const FRAMES = 24; // of an animation
const FILM_SIDE = 256; // of its pictures, at least
const SEARCHES = {encoder: [0, 2, 5], none: [0, 1, 3, 10]}; // iterations: each search shows how far it came
const EDITED = ["label", "truncation", "move", "codes", "mix"]; // fields of an edit, and not of what is edited

let model, compare, controls, original = null, past = [], future = [], beforeOf = "", asked = 0, drawn = 0, searching;

/** Shows the edit that the address names. */
export async function show(of) {
  const other = model?.title !== of.title;
  model = of;
  compare ??= new Compare(get("compare"), "Divider between before and after", "before", "after");
  if (other) [past, future, original] = [[], [], null];
  if (state.fields.blend) await fromBlend().catch(explain);
  if (!state.fields.noise && state.fields.seed === undefined) state.fields.seed = 7;
  controls = build(of, state.fields, (fields, done) => {
    if (done) commit(fields);
    else drawNewest({...state.fields, ...fields});
  });
  render();
}

/** What is edited as fields of a request: a seed, or a latent vector with its class. */
function startOf(fields) {
  if (!fields.noise) return {seed: wrap(Math.trunc(+fields.seed) || 0), truncation: fields.truncation ? +fields.truncation : undefined};
  return {noise: [[...new Float32Array(unpacked(fields.noise).buffer)]], label: fields.was || undefined};
}

const pairs = text => (text || "").split(";").filter(Boolean).map(pair => pair.split(/:(.*)/s));

/** The fields of POST /edit. */
function requestOf(fields) {
  const numbers = text => Object.fromEntries(pairs(text).map(([name, value]) => [name, +value]));
  const request = {model: state.fields.model, ...startOf(fields)};
  if (fields.label) request.label = fields.label;
  if (fields.move) request.move = numbers(fields.move);
  if (fields.codes) request.codes = numbers(fields.codes);
  if (fields.mix) {
    const {seed, layers} = Object.fromEntries(pairs(fields.mix));
    request.mix = {seed: +seed, layers: layers.split(",").map(Number)};
  }
  return request;
}

const png = async (request, signal) => bitmap(await (await post("edit", {...request, format: "png"}, signal)).blob());

function render() {
  const {fields} = state;
  get("seed").value = fields.noise ? "" : fields.seed;
  controls.set(fields);
  document.getElementById("undo").disabled = !past.length;
  document.getElementById("redo").disabled = !future.length;
  drawBefore();
  drawNewest(fields);
  get("curl").textContent = curlOf(requestOf(fields));
}

async function drawBefore() {
  const codes = state.fields.noise && state.fields.codes ? {codes: requestOf(state.fields).codes} : {};
  const request = {model: state.fields.model, ...startOf(state.fields), ...codes}, what = JSON.stringify(request) + Boolean(original);
  if (what === beforeOf) return;
  beforeOf = what;
  try {
    const image = original?.noise === state.fields.noise && original ? original.image : await png(request);
    compare.show("before", image, state.fields.noise ? "The picture before the edit" : `Seed ${state.fields.seed} before the edit`);
  } catch (problem) {
    beforeOf = "";
    explain(problem);
  }
}

const drawNewest = newest(async fields => {
  const turn = ++asked, image = await png(requestOf(fields));
  if (turn < drawn) return;
  drawn = turn;
  compare.show("after", image, `After the edit: ${controls.words(fields) || "nothing is changed"}`);
  forget();
});

/** Makes a change a step that can be undone. */
function commit(fields, words = controls.words({...state.fields, ...fields})) {
  past.push({...state.fields});
  future = [];
  change(fields);
  render();
  say(`Edited: ${words || "nothing is changed"}`);
}

function travel(from, to) {
  if (!from.length) return;
  to.push({...state.fields});
  const there = from.pop(), gone = Object.fromEntries(Object.keys(state.fields).filter(name => !(name in there)).map(name => [name, ""]));
  change({...gone, ...there});
  render();
}
document.getElementById("undo").onclick = () => travel(past, future);
document.getElementById("redo").onclick = () => travel(future, past);
document.getElementById("reset").onclick = () => commit(Object.fromEntries(EDITED.map(name => [name, name === "codes" && state.fields.noise ? state.fields.codes : ""])));
addEventListener("keydown", event => {
  if (state.view !== "edit" || !(event.ctrlKey || event.metaKey) || event.target.matches("input:not([type=range])")) return;
  if (event.key.toLowerCase() === "z") { event.preventDefault(); event.shiftKey ? travel(future, past) : travel(past, future); }
  if (event.key.toLowerCase() === "y") { event.preventDefault(); travel(future, past); }
});

function start(seed) {
  searching?.abort();
  commit({seed, noise: "", was: ""}, `seed ${seed}`);
}
get("seed").onchange = () => start(wrap(Math.trunc(+get("seed").value) || 0));
get("dice").onclick = () => start(anySeed() % 100_000);
get("file").onchange = () => { if (get("file").files[0]) invert(get("file").files[0]); };

/** A blend has a latent vector, unless it is one of styles. */
async function fromBlend() {
  const {blend, ...shared} = state.fields;
  const [{noise, label}] = await fetchPictures(named(blend), {model: shared.model, label: shared.label, truncation: shared.truncation}, {latents: true});
  if (noise) change({blend: "", seed: "", truncation: "", noise: pack(noise), was: label});
  else change({blend: "", seed: named(blend).blend[0][0]});
}
const pack = noise => packed(new Uint8Array(new Float32Array(noise).buffer));

/** Looks for the latent vector that draws a picture, in searches that get longer, and edits it. */
export async function invert(file) {
  searching?.abort();
  searching = new AbortController();
  const {signal} = searching, steps = SEARCHES[model.networks.encoder ? "encoder" : "none"], most = steps.reduce((one, other) => one + other) + 1;
  const bar = get("bar"), step = get("step"), place = document.getElementById("edit-progress");
  let done = 0, found = {};
  place.hidden = false;
  try {
    const picture = await sent(file);
    compare.show("before", picture, "Your picture, as the model sees it");
    for (const iterations of steps) {
      step.textContent = iterations ? `Search of ${iterations} step${iterations > 1 ? "s" : ""}: ${found.psnr.toFixed(1)} dB until now …` : "Looking for the nearest picture …";
      bar.value = done / most;
      const query = new URLSearchParams({model: state.fields.model, iterations, format: "json"});
      if (found.label !== undefined && found.label !== null) query.set("label", found.label);
      const answer = await ask(`invert?${query}`, {method: "POST", body: file, headers: {"Content-Type": file.type || "image/png"}, signal});
      const [better] = (await answer.json()).images;
      if (found.psnr === undefined || better.psnr > found.psnr) found = better;
      done += iterations || 1;
      compare.show("after", await png({model: state.fields.model, noise: [found.noise], label: found.label ?? undefined, codes: found.codes}, signal), "What the model draws of your picture");
    }
    const codes = found.codes ? Object.entries(found.codes).map(pair => pair.join(":")).join(";") : "";
    original = {noise: pack(found.noise), image: picture};
    const label = found.label ?? "";
    commit({seed: "", noise: original.noise, was: label, label: "", truncation: "", move: "", mix: "", codes}, "your picture was found");
    get("note").textContent = `The nearest picture that the model draws: ${found.psnr.toFixed(1)} dB${label ? `, class ${label}` : ""}.`;
  } catch (problem) {
    explain(problem);
  } finally {
    if (searching.signal === signal) place.hidden = true;
  }
}

/** A picture from a file, cropped and grey where the model's are. */
async function sent(file) {
  const image = await createImageBitmap(file).catch(() => { throw new Error(`${file.name} is no picture that this browser can show.`); });
  const canvas = element("canvas", {width: model.width, height: model.height}), context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  if (model.channels === 1) context.filter = "grayscale(1)";
  context.imageSmoothingQuality = "high";
  const zoom = Math[model.origin.config?.fit === "pad" ? "min" : "max"](canvas.width / image.width, canvas.height / image.height);
  const [width, height] = [image.width * zoom, image.height * zoom];
  context.drawImage(image, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
  return canvas;
}

get("save").onclick = async () => {
  try {
    const answer = await post("edit", {...requestOf(state.fields), format: "png"});
    save(await answer.blob(), fileName(answer, "edited.png"));
  } catch (problem) { explain(problem); }
};
get("film").onclick = async () => {
  const request = {...requestOf(state.fields), steps: FRAMES, format: "webp", scale: Math.max(1, Math.floor(FILM_SIDE / model.width))};
  if (!request.move) { get("note").textContent = "An animation shows a move: drag a slider of a direction first."; return; }
  try {
    const answer = await post("edit", request);
    save(await answer.blob(), fileName(answer, "edited.webp"));
  } catch (problem) { explain(problem); }
};

function curlOf(request) {
  const body = JSON.stringify(request).replaceAll("'", "'\\''");
  return `curl ${new URL("edit", document.baseURI)} -H 'Content-Type: application/json' \\\n  -d '${body}' -o edited.png`;
}
