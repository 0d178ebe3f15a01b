// Three or four pictures span a plane; a place in it is a blend of them. A field of small pictures shows the whole plane.
import {attempt, explain, newest, post, say} from "./api.js";
import {anySeed, change, nameOf, named, state} from "./state.js";
import {classOptions, draw, element, fetchPicture, fetchPictures, size, titleOf} from "./pictures.js";
const FIELD = 7; // small pictures along each side of the field
const MOST_STOPS = 40, FPS = 20, MOST_FRAMES = 200; // of a recorded path
const AT_ONCE = 3; // requests, so that the service draws one while the others are on their way
const SIDE = 256; // of a recording, in pixels, at least
const STEP = 0.02; // of an arrow key
const SEEDS = [7, 12, 23, 38].map(seed => ({seed})); // where none were chosen
const get = id => document.getElementById(id);
const plane = get("plane"), canvas = get("morph-picture");
const field = element("canvas", {className: "field-of"}), lens = element("canvas", {className: "lens"});
plane.append(field, lens);
let model, corners = [], added = [], place, fieldOf = "", fieldDrawing, path = null, times = [], frame, settled;
const shared = () => ({model: state.fields.model, label: state.fields.label});
const text = () => ({corners: corners.map(nameOf).join(";"), at: `${place.x.toFixed(3)},${place.y.toFixed(3)}`});

/** Shows the plane that the address names. */
export function show(of) {
  model = of;
  corners = (state.fields.corners || "").split(";").filter(Boolean).slice(0, 4).map(named);
  if (corners.length < 3) corners = [...corners, ...SEEDS].slice(0, 4);
  const [x = 0.5, y = 0.5] = state.fields.at ? state.fields.at.split(",").map(Number).filter(Number.isFinite) : [];
  classOptions(get("morph-label"), model.classes || [], "that of the nearest picture");
  get("morph-label").value = state.fields.label ?? "";
  get("morph-three").checked = corners.length === 3;
  get("corners").replaceChildren(...corners.map((corner, number) => {
    const input = element("input", {value: nameOf(corner), ariaLabel: `Corner ${number + 1}: seed`});
    input.onchange = () => set(corners.map((other, at) => (at === number ? named(input.value.trim()) : other)));
    return input;
  }));
  resize();
  drawField();
  move(x, y, false);
}

/** Stops what goes on by itself, when another view is shown. */
export const leave = () => wander(false);

/** Puts a picture into a corner of the plane that is shown next. */
export function addCorner(picture) {
  added = [...added, picture].slice(-4);
  dispatchEvent(new CustomEvent("state-changed"));
}
/** The field `corners` of the pictures that were put there, if any were. */
export const chosen = () => (added.length ? {corners: [...added, ...SEEDS].slice(0, 4).map(nameOf).join(";")} : {});

/** The weights of the corners at a place: with three, these are the top, the bottom left and the bottom right. */
function weights({x, y}) {
  const right = x - (1 - y) / 2;
  return corners.length === 3 ? [1 - y, y - right, right].map(weight => Math.max(0, weight)) : [(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y];
}

/** The picture at a place. Corners that are blends themselves get the length that seeds have. */
function pictureAt(at) {
  const blend = new Map();
  weights(at).forEach((weight, corner) => {
    const parts = corners[corner].blend || [[corners[corner].seed, 1]], length = Math.hypot(...parts.map(([, part]) => part));
    for (const [seed, part] of parts) blend.set(seed, (blend.get(seed) || 0) + weight * part / length);
  });
  return {blend: [...blend].map(([seed, weight]) => [seed, +weight.toFixed(4)]).filter(([, weight]) => weight).slice(0, 16)};
}

/** The nearest place in the square, or in the triangle. */
function within(x, y) {
  const [column, row] = [x, y].map(value => Math.min(1, Math.max(0, value)));
  return {x: corners.length === 3 ? Math.min(0.5 + row / 2, Math.max(0.5 - row / 2, column)) : column, y: row};
}

const drawNewest = newest(at => fetchPicture(pictureAt(at), shared()), image => {
  for (const one of [canvas, lens]) draw(one, image);
  resize();
  const now = performance.now();
  times = [...times.filter(time => time > now - 1000), now];
  const rate = times.length > 5 ? (times.length - 1) * 1000 / (now - times[0]) : 0;
  get("morph-rate").textContent = rate > 2 ? `${Math.round(rate)} pictures a second` : "";
  Object.assign(canvas.dataset, {rate: rate.toFixed(1), total: (+canvas.dataset.total || 0) + 1});
}, AT_ONCE);

function move(x, y, moved = true) {
  place = within(x, y);
  const shares = weights(place).map((weight, corner) => [Math.round(100 * weight), titleOf(corners[corner]).toLowerCase()]);
  const words = shares.filter(([share]) => share).map(([share, title]) => `${share} % ${title}`);
  get("morph-mix").textContent = words.join(" · ");
  plane.setAttribute("aria-valuenow", Math.round(100 * place.x));
  plane.setAttribute("aria-valuetext", words.join(", "));
  canvas.setAttribute("aria-label", `Between the corners: ${words.join(", ")}`);
  for (const axis of ["x", "y"]) plane.style.setProperty(`--${axis}`, place[axis]);
  drawNewest(place);
  if (!moved) return;
  path?.push({...place, time: performance.now()});
  clearTimeout(settled);
  settled = setTimeout(() => { if (state.view === "morph") change(text()); }, 250);
}

/** Draws the small pictures of the field, the corners first, unless they are there already. */
async function drawField() {
  const what = JSON.stringify([shared(), corners]);
  if (what === fieldOf) return;
  fieldOf = what;
  fieldDrawing?.abort();
  fieldDrawing = new AbortController();
  const {signal} = fieldDrawing, last = FIELD - 1, context = field.getContext("2d");
  Object.assign(field, {width: FIELD * model.width, height: FIELD * model.height});
  const rows = [...Array(FIELD).keys()], wide = row => (corners.length === 3 ? row + 1 : FIELD); // pictures in a row
  const places = rows.flatMap(row => rows.slice(0, wide(row)).map(number => [number + (FIELD - wide(row)) / 2, row]));
  const inside = ([column, row]) => Math.min(column, last - column) + Math.min(row, last - row);
  await Promise.all(places.sort((one, other) => inside(one) - inside(other)).map(async ([column, row]) => {
    const picture = await fetchPicture(pictureAt({x: column / last, y: row / last}), shared(), signal);
    context.drawImage(picture, Math.round(column * model.width), row * model.height);
  })).catch(problem => { if (!signal.aborted) fieldOf = ""; explain(problem); });
  field.dataset.drawn = "";
}

function set(to) {
  corners = to;
  change(text(), true);
  show(model);
}

function resize() {
  const {clientWidth} = plane.closest(".stage"), beside = getComputedStyle(plane.closest(".stage")).gridTemplateColumns.includes(" ");
  const room = Math.min(beside ? clientWidth / 2 - 36 : clientWidth - 24, innerHeight - (beside ? 190 : 160), 640);
  size(canvas, model, beside ? room : Math.min(200, clientWidth / 2));
  size(plane, model, room);
  lens.style.width = `${plane.clientWidth / FIELD * 1.5}px`;
}
addEventListener("resize", () => { if (model && state.view === "morph") resize(); });

function point({clientX, clientY}) { // the middle of a corner's small picture is the corner
  const box = plane.getBoundingClientRect(), along = share => (share * FIELD - 0.5) / (FIELD - 1);
  move(along((clientX - box.left) / box.width), along((clientY - box.top) / box.height));
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
  cancelAnimationFrame(frame);
  const start = performance.now(), go = now => {
    const time = (now - start) / 1000;
    move(0.5 + 0.48 * Math.sin(0.9 * time + 0.4), 0.5 + 0.48 * Math.sin(1.3 * time));
    frame = requestAnimationFrame(go);
  };
  if (on) frame = requestAnimationFrame(go);
}
const pressed = button => button.getAttribute("aria-pressed") === "true";
get("wander").onclick = () => wander(!pressed(get("wander")));
get("morph-dice").onclick = () => set(corners.map(() => ({seed: anySeed() % 100_000})));
get("morph-three").onchange = () => set(get("morph-three").checked ? corners.slice(0, 3) : [...corners, {seed: anySeed() % 100_000}]);
get("morph-label").onchange = () => { change({label: get("morph-label").value}, true); show(model); };
get("record").onclick = async () => {
  const button = get("record"), taken = path, on = !pressed(button);
  button.setAttribute("aria-pressed", on);
  button.textContent = on ? "Stop recording" : "Record";
  get("record-note").textContent = on ? "Recording: drag across the field, or let it wander." : "Drawing the recording …";
  path = on ? [] : null;
  if (on) return;
  wander(false);
  if (taken.length > 1) await attempt(animate)(taken, get("record-format").value);
  get("record-note").textContent = taken.length > 1 ? "" : "Nothing was recorded: the place did not move.";
};

/** Asks for the path as an animation: some of its places are stops, between which /interpolate goes. */
async function animate(taken, format) {
  const many = Math.min(MOST_STOPS, taken.length), stops = Array.from({length: many}, (_, n) => taken[Math.round(n * (taken.length - 1) / (many - 1))]);
  const found = await Promise.all(stops.map(async stop => (await fetchPictures(pictureAt(stop), shared(), {latents: true}))[0]));
  // Blends of styles have no latent vector, and one is not all where there are codes: such paths go from corner to corner.
  const nearest = stops.map(stop => pictureAt(stop).blend.toSorted(([, one], [, other]) => other - one)[0][0]);
  const way = found[0].noise && !model.codes.length ? {noise: found.map(({noise}) => noise)} : {seeds: nearest.filter((seed, n) => !n || n === many - 1 || seed !== nearest[n - 1])};
  const frames = Math.round(Math.min(MOST_FRAMES, Math.max(many, (taken.at(-1).time - taken[0].time) / 1000 * FPS)));
  const label = state.fields.label ?? found[0].label ?? undefined, scale = Math.max(1, Math.floor(SIDE / model.width));
  const blob = await (await post("interpolate", {...way, label, frames, fps: FPS, format, model: state.fields.model, scale})).blob();
  URL.revokeObjectURL(get("recorded-picture").src);
  get("recorded-picture").src = URL.createObjectURL(blob);
  Object.assign(get("recorded-save"), {href: get("recorded-picture").src, download: `${model.name}-morph.${format}`});
  get("recorded").hidden = false;
  say("The recording is there");
}
