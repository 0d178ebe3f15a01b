// Three or four pictures span a plane; a place in it is a blend of them. A field of small pictures shows the whole plane.
import {explain, newest, post, say} from "./api.js";
import {anySeed, change, nameOf, named, state} from "./state.js";
import {classOptions, draw, element, fetchPicture, fetchPictures, size, titleOf} from "./pictures.js";

const FIELD = 7; // small pictures along each side of the field
const MOST_STOPS = 40, FPS = 20, MOST_FRAMES = 200; // of a recorded path
const AT_ONCE = 3; // requests, so that the service draws one while the others are on their way
const SIDE = 256; // of a recording, in pixels, at least
const STEP = 0.02; // of an arrow key

const get = id => document.getElementById(id);
const plane = get("plane"), canvas = get("morph-picture"), field = element("canvas", {className: "field-of"});
const lens = element("canvas", {className: "lens"});
plane.append(field, lens);
let model, corners = [], place = {x: 0.5, y: 0.5}, fieldOf = "", cancelField, path = null, asked = 0, drawn = 0, times = [], wandering = 0;

const shared = () => ({model: state.fields.model, label: state.fields.label});

/** Shows the plane that the address names. */
export function show(of) {
  model = of;
  corners = (state.fields.corners || "").split(";").filter(Boolean).slice(0, 4).map(named);
  if (corners.length < 3) corners = [...corners, ...[7, 12, 23, 38].map(seed => ({seed}))].slice(0, 4);
  const [x = 0.5, y = 0.5] = state.fields.at ? state.fields.at.split(",").map(Number) : [];
  place = {x, y};
  classOptions(get("morph-label"), model.classes || [], "that of the nearest picture");
  get("morph-label").value = state.fields.label ?? "";
  get("morph-three").checked = corners.length === 3;
  showCorners();
  drawField();
  move(place.x, place.y, false);
}

/** Stops what goes on by itself, when another view is shown. */
export function leave() { wander(false); }

/** Puts a picture into the corner whose turn it is, for when the plane is shown next. */
export function addCorner(picture) {
  added = [...added, nameOf(picture)].slice(-4);
  dispatchEvent(new CustomEvent("state-changed"));
}
let added = [];
/** The field `corners` of the chosen pictures, if any were chosen. */
export function chosen() {
  if (!added.length) return {};
  const others = [7, 12, 23, 38].map(String);
  const fields = {corners: [...added, ...others.slice(added.length)].join(";")};
  return fields;
}

/** The weights of the corners at a place. */
function weights({x, y}) {
  if (corners.length === 3) { // top, bottom left, bottom right
    const top = 1 - y, right = Math.max(0, x - top / 2);
    return [top, Math.max(0, y - right), Math.min(y, right)];
  }
  return [(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y];
}

/** A picture at a place. Corners that are blends themselves have length 1, as seeds have. */
function pictureAt(at) {
  const blend = new Map();
  weights(at).forEach((weight, corner) => {
    const parts = corners[corner].blend || [[corners[corner].seed, 1]], length = Math.hypot(...parts.map(([, part]) => part));
    for (const [seed, part] of parts) blend.set(seed, (blend.get(seed) || 0) + weight * part / length);
  });
  return {blend: [...blend].map(([seed, weight]) => [seed, +weight.toFixed(4)]).filter(([, weight]) => weight).slice(0, 16)};
}

/** Within the triangle, where there are three corners. */
function within(x, y) {
  [x, y] = [x, y].map(value => Math.min(1, Math.max(0, value)));
  return corners.length === 3 ? {x: Math.min(0.5 + y / 2, Math.max(0.5 - y / 2, x)), y} : {x, y};
}

const drawNewest = newest(async at => {
  const turn = ++asked, image = await fetchPicture(pictureAt(at), shared());
  if (turn < drawn) return; // a later one was quicker
  drawn = turn;
  draw(canvas, image);
  draw(lens, image);
  resize();
  const now = performance.now();
  times = [...times.filter(time => time > now - 1000), now];
  const rate = times.length > 5 ? (times.length - 1) * 1000 / (now - times[0]) : 0;
  get("morph-rate").textContent = rate > 2 ? `${Math.round(rate)} pictures a second` : "";
  canvas.dataset.rate = rate.toFixed(1);
  canvas.dataset.total = (+canvas.dataset.total || 0) + 1;
}, AT_ONCE);

function move(x, y, moved = true) {
  place = within(x, y);
  const shares = weights(place).map(weight => Math.round(100 * weight));
  const words = corners.map((corner, number) => [shares[number], titleOf(corner)]).filter(([share]) => share).map(([share, title]) => `${share} % ${title.toLowerCase()}`);
  get("morph-mix").textContent = words.join(" · ");
  plane.setAttribute("aria-valuenow", Math.round(100 * place.x));
  plane.setAttribute("aria-valuetext", words.join(", "));
  canvas.setAttribute("aria-label", `Between the corners: ${words.join(", ")}`);
  plane.style.setProperty("--x", place.x);
  plane.style.setProperty("--y", place.y);
  drawNewest(place);
  if (!moved) return;
  if (path) path.push({...place, time: performance.now()});
  clearTimeout(settled);
  settled = setTimeout(() => change({corners: corners.map(nameOf).join(";"), at: `${place.x.toFixed(3)},${place.y.toFixed(3)}`}), 250);
}
let settled;

/** Draws the small pictures of the field, unless they are there already. */
async function drawField() {
  const what = JSON.stringify([shared(), corners]);
  if (what === fieldOf) return;
  fieldOf = what;
  cancelField?.abort();
  cancelField = new AbortController();
  const {signal} = cancelField;
  Object.assign(field, {width: FIELD * model.width, height: FIELD * model.height});
  const context = field.getContext("2d"), places = [];
  for (let row = 0; row < FIELD; row++) for (let column = 0; column < FIELD; column++) places.push([column, row]);
  const middle = ([column, row]) => Math.min(column, FIELD - 1 - column) + Math.min(row, FIELD - 1 - row); // corners first
  await Promise.all(places.sort((one, other) => middle(one) - middle(other)).map(async ([column, row]) => {
    const at = {x: column / (FIELD - 1), y: row / (FIELD - 1)}, nearest = within(at.x, at.y);
    if (Math.abs(nearest.x - at.x) > 0.5 / FIELD) return;
    const image = await fetchPicture(pictureAt(nearest), shared(), signal);
    context.drawImage(image, column * model.width, row * model.height);
  })).catch(problem => { fieldOf = ""; explain(problem); });
  resize();
}

function showCorners() {
  get("corners").replaceChildren(...corners.map((corner, number) => {
    const input = element("input", {value: nameOf(corner), inputMode: "numeric", ariaLabel: `Corner ${number + 1}: seed`});
    input.onchange = () => set(corners.map((other, at) => (at === number ? named(input.value.trim()) : other)));
    return input;
  }));
}

function set(to, fields = {}) {
  change({corners: to.map(nameOf).join(";"), ...fields}, true);
  show(model);
}

function resize() {
  const narrow = innerWidth < 760;
  if (canvas.dataset.drawn !== undefined) size(canvas, canvas, narrow ? Math.min(200, innerWidth / 2) : Math.min((get("morph").clientWidth - 360) / 2 - 32, innerHeight - 190, 512));
  lens.style.width = `${plane.clientWidth / FIELD * 1.5}px`;
}
addEventListener("resize", () => { if (model && state.view === "morph") resize(); });

const half = 0.5 / FIELD; // the middle of a corner's small picture is the corner
function point(event) {
  const box = plane.getBoundingClientRect();
  const along = (value, start, length) => ((value - start) / length - half) / (1 - 2 * half);
  move(along(event.clientX, box.left, box.width), along(event.clientY, box.top, box.height));
}
plane.addEventListener("pointerdown", event => { wander(false); plane.setPointerCapture(event.pointerId); point(event); });
plane.addEventListener("pointermove", event => { if (plane.hasPointerCapture(event.pointerId)) point(event); });
plane.addEventListener("keydown", event => {
  const by = {ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP]}[event.key];
  if (!by) return;
  event.preventDefault();
  move(place.x + by[0], place.y + by[1]);
});

/** Goes through the plane on a curve, at a walking pace. */
function wander(on) {
  get("wander").setAttribute("aria-pressed", on);
  cancelAnimationFrame(wandering);
  if (!on) return;
  const start = performance.now();
  const go = now => {
    const time = (now - start) / 1000;
    move(0.5 + 0.48 * Math.sin(0.9 * time + 0.4), 0.5 + 0.48 * Math.sin(1.3 * time));
    wandering = requestAnimationFrame(go);
  };
  wandering = requestAnimationFrame(go);
}
get("wander").onclick = () => wander(get("wander").getAttribute("aria-pressed") !== "true");
get("morph-dice").onclick = () => set(corners.map(() => ({seed: anySeed() % 100_000})), {at: ""});
get("morph-three").onchange = () => set(get("morph-three").checked ? corners.slice(0, 3) : [...corners, {seed: anySeed() % 100_000}]);
get("morph-label").onchange = () => { change({label: get("morph-label").value}, true); show(model); };

get("record").onclick = async () => {
  const button = get("record"), note = get("record-note");
  if (!path) {
    path = [];
    button.setAttribute("aria-pressed", true);
    button.textContent = "Stop recording";
    note.textContent = "Recording: drag across the field, or let it wander.";
    return;
  }
  const taken = path;
  path = null;
  wander(false);
  button.setAttribute("aria-pressed", false);
  button.textContent = "Record a path";
  if (taken.length < 2) { note.textContent = "Nothing was recorded: the place did not move."; return; }
  try {
    note.textContent = "Drawing the recording …";
    await animate(taken, get("record-format").value);
    note.textContent = "";
    say("The recording is there");
  } catch (problem) {
    note.textContent = "";
    explain(problem);
  }
};

/** Asks for the path as an animation: some of its places are stops, between which /interpolate goes. */
async function animate(taken, format) {
  const many = Math.min(MOST_STOPS, taken.length), stops = Array.from({length: many}, (_, n) => taken[Math.round(n * (taken.length - 1) / (many - 1))]);
  const found = await Promise.all(stops.map(async stop => (await fetchPictures(pictureAt(stop), shared(), {latents: true}))[0]));
  const seconds = (taken.at(-1).time - taken[0].time) / 1000;
  const label = state.fields.label ?? found[0].label ?? undefined;
  const frames = Math.round(Math.min(MOST_FRAMES, Math.max(many, 2, seconds * FPS)));
  // Blends of styles have no latent vector: such a path goes from corner to corner.
  const nearest = stops.map(stop => corners[weights(stop).indexOf(Math.max(...weights(stop)))].seed).filter((seed, n, all) => seed !== undefined && seed !== all[n - 1]);
  const way = found[0].noise ? {noise: found.map(({noise}) => noise)} : {seeds: nearest.length > 1 ? nearest : [...nearest, ...nearest]};
  const fields = {...way, label, frames, fps: FPS, format, model: state.fields.model, scale: Math.max(1, Math.floor(SIDE / model.width))};
  const blob = await (await post("interpolate", fields)).blob();
  URL.revokeObjectURL(get("recorded-picture").src);
  get("recorded-picture").src = URL.createObjectURL(blob);
  Object.assign(get("recorded-save"), {href: get("recorded-picture").src, download: `${model.name}-morph.${format}`});
  get("recorded").hidden = false;
}
