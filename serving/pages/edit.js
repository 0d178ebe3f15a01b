// A picture, and what the model's directions, classes and codes make of it.
import {ask, attempt, bitmap, fileName, newest, post, Problem, save, say} from "./api.js";
import {anySeed, change, named, packed, pairs, state, unpacked, wrap} from "./state.js";
import {element, fetchPictures} from "./pictures.js";
import {Compare} from "./compare.js";
import {build} from "./controls.js";

const get = id => document.getElementById(`edit-${id}`);
const FRAMES = 24, FILM_SIDE = 256; // of an animation: its pictures, and how large they are at least
const SEARCHES = {encoder: [0, 2, 5], none: [0, 1, 3, 10]}; // iterations: each search shows how far it came
let model, compare, controls, original = null, past = [], future = [], beforeOf = "", searching;

/** Shows the edit that the address names. */
export const show = attempt(async of => {
  compare ??= new Compare(get("compare"), "Divider between before and after", "before", "after");
  if (model?.title !== of.title) [past, future, original] = [[], [], null];
  model = of;
  if (state.fields.blend) await fromBlend();
  if (!state.fields.noise && state.fields.seed === undefined) state.fields.seed = 7;
  controls = build(of, state.fields, (fields, done) => (done ? commit(fields) : drawNewest({...state.fields, ...fields})));
  render();
});

/** A blend has a latent vector, unless it is one of styles. */
async function fromBlend() {
  const {blend, label, truncation} = state.fields;
  const [{noise, label: was}] = await fetchPictures(named(blend), {model: model.title, label, truncation}, {latents: true});
  if (noise && !model.codes.length) return change({blend: "", label: "", truncation: "", noise: pack(noise), was});
  const [[seed]] = named(blend).blend;
  change({blend: "", seed});
  get("note").textContent = `${model.name} can edit no picture between seeds: this is that of seed ${seed}.`;
}
const pack = noise => packed(new Uint8Array(new Float32Array(noise).buffer));
const numbers = text => Object.fromEntries(pairs(text).map(([name, value]) => [name, +value]));

/** What is edited, a seed or a latent vector with its class, as fields of a request. */
function startOf({noise, seed, was, truncation}) {
  if (noise) return {model: model.title, noise: [[...unpacked(noise, Float32Array)]], label: was || undefined};
  return {model: model.title, seed: wrap(Math.trunc(+seed) || 0), truncation: truncation ? +truncation : undefined};
}

/** The fields of POST /edit. */
function requestOf(fields) {
  const request = startOf(fields);
  if (fields.label) request.label = fields.label;
  if (fields.move) request.move = numbers(fields.move);
  if (fields.codes) request.codes = numbers(fields.codes);
  return request;
}
const png = async (request, signal) => bitmap(await (await post("edit", {...request, format: "png"}, signal)).blob());

function render() {
  const {fields} = state, request = requestOf(fields), [undo, redo] = ["undo", "redo"].map(id => document.getElementById(id));
  get("seed").value = fields.noise ? "" : fields.seed;
  controls.set(fields);
  [undo.disabled, redo.disabled] = [!past.length, !future.length];
  const body = JSON.stringify({...request, format: "png"}).replaceAll("'", "'\\''");
  get("curl").textContent = `curl ${new URL("edit", document.baseURI)} -H 'Content-Type: application/json' \\\n  -d '${body}' -o edited.png`;
  drawBefore();
  drawNewest(fields);
}

const drawBefore = attempt(async () => {
  const {fields} = state, request = {...startOf(fields), codes: fields.noise ? requestOf(fields).codes : undefined}, what = JSON.stringify(request);
  if (what === beforeOf) return;
  const image = original && original.noise === fields.noise ? original.image : await png(request);
  beforeOf = what;
  compare.show("before", image, fields.noise ? "The picture before the edit" : `Seed ${fields.seed} before the edit`);
});
const drawNewest = newest(fields => png(requestOf(fields)), (image, fields) => {
  compare.show("after", image, `After the edit: ${controls.words(fields) || "nothing is changed"}`);
});

/** Makes a change a step that can be undone. */
function commit(fields, words = controls.words({...state.fields, ...fields}) || "nothing is changed") {
  past.push({...state.fields});
  future = [];
  change(fields);
  render();
  say(`Edited: ${words}`);
}

function travel(from, to) {
  if (!from.length) return;
  to.push({...state.fields});
  change({...Object.fromEntries(Object.keys(state.fields).map(name => [name, ""])), ...from.pop()});
  render();
}
document.getElementById("undo").onclick = () => travel(past, future);
document.getElementById("redo").onclick = () => travel(future, past);
document.getElementById("reset").onclick = () => commit({label: "", truncation: "", move: "", ...(state.fields.noise ? {} : {codes: ""})});
addEventListener("keydown", event => {
  const letter = event.key.toLowerCase();
  if (state.view !== "edit" || !(event.ctrlKey || event.metaKey) || !"zy".includes(letter) || event.target.matches("[type=number]")) return;
  event.preventDefault();
  travel(...(letter === "y" || event.shiftKey ? [future, past] : [past, future]));
});

function start(seed) {
  searching?.abort();
  get("note").textContent = "";
  commit({seed, noise: "", was: ""}, `seed ${seed}`);
}
[get("seed").onchange, get("dice").onclick] = [() => start(wrap(Math.trunc(+get("seed").value) || 0)), () => start(anySeed() % 100_000)];
get("file").onchange = () => { if (get("file").files[0]) invert(get("file").files[0]); };

/** Looks for the latent vector that draws a picture, in searches that get longer, and edits it. */
export const invert = attempt(async file => {
  searching?.abort();
  searching = new AbortController();
  const {signal} = searching, steps = SEARCHES[model.networks.encoder ? "encoder" : "none"], progress = document.getElementById("edit-progress");
  let found = {psnr: -Infinity}, done = 0, began = performance.now(), pace = Infinity; // pace: milliseconds of a step, until now
  const bar = get("bar"), timer = setInterval(() => { bar.value = Math.max(bar.value, done + 0.95 * (performance.now() - began) / pace); }, 200);
  Object.assign(bar, {max: steps.reduce((one, other) => one + other) + 1, value: 0});
  [get("note").textContent, progress.hidden] = ["", false];
  try {
    const picture = await asTheModelSees(file);
    compare.show("before", picture, "Your picture, as the model sees it");
    for (const iterations of steps) {
      get("step").textContent = iterations ? `Searching, ${iterations} steps; ${found.psnr.toFixed(1)} dB until now` : "Looking for the nearest picture";
      const query = new URLSearchParams({model: model.title, iterations, format: "json", ...(found.label ? {label: found.label} : {})});
      const answer = await ask(`invert?${query}`, {method: "POST", body: file, headers: {"Content-Type": file.type}, signal});
      const [better] = (await answer.json()).images;
      if (better.psnr > found.psnr) found = better;
      done = bar.value = done + (iterations || 1);
      if (iterations) pace = (performance.now() - began) / iterations;
      began = performance.now();
      const {noise, label, codes} = found;
      compare.show("after", await png({model: model.title, noise: [noise], label: label ?? undefined, codes}, signal), "What the model draws of it");
    }
    original = {noise: pack(found.noise), image: picture};
    const codes = Object.entries(found.codes ?? {}).map(pair => pair.join(":")).join(";"), was = found.label ?? "";
    commit({seed: "", noise: original.noise, was, label: "", truncation: "", move: "", codes}, "your picture was found");
    get("note").textContent = `The nearest picture that the model draws: ${found.psnr.toFixed(1)} dB${was && `, class ${was}`}.`;
  } finally {
    clearInterval(timer);
    if (searching.signal === signal) progress.hidden = true;
  }
});

/** A picture from a file, cropped or with margins, and grey where the model's are. */
async function asTheModelSees(file) {
  const image = await createImageBitmap(file).catch(() => { throw new Problem(`${file.name} is no picture that this browser can show.`, 415); });
  const canvas = element("canvas", {width: model.width, height: model.height}), context = canvas.getContext("2d");
  Object.assign(context, {fillStyle: "white", imageSmoothingQuality: "high", filter: model.channels === 1 ? "grayscale(1)" : "none"});
  context.fillRect(0, 0, canvas.width, canvas.height);
  const zoom = Math[model.origin.config?.fit === "pad" ? "min" : "max"](canvas.width / image.width, canvas.height / image.height);
  const [width, height] = [image.width * zoom, image.height * zoom];
  context.drawImage(image, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
  return canvas;
}

async function saveAs(fields) {
  const answer = await post("edit", {...requestOf(state.fields), ...fields});
  save(await answer.blob(), fileName(answer, "edited"));
}
get("save").onclick = attempt(() => saveAs({format: "png"}));
get("film").onclick = attempt(async () => {
  if (state.fields.move) await saveAs({steps: FRAMES, format: "webp", scale: Math.max(1, Math.floor(FILM_SIDE / model.width))});
  else get("note").textContent = "An animation shows a move: drag a slider of a direction first.";
});
