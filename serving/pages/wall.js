// A wall of pictures without an end. A batch is some whole rows, whose height is known before its pictures are; those far outside
// the window give theirs back, and get them again from the browser's cache.
import {attempt, say} from "./api.js";
import {anySeed, change, go, nameOf, named, state, wrap} from "./state.js";
import {classOptions, crisp, draw, element, fetchPicture, fetchPictures, titleOf} from "./pictures.js";
const BATCH = 48; // pictures, about; the first batch is one row, so that something shows at once
const MOST_PIXELS = 2 ** 21; // in a batch
const AT_ONCE = 2, GAP = 2, LEAST = 16; // batches asked for; pixels between pictures, and along a side, so that a row fits into an answer
const LIKE = 0.55; // weight of another seed in a picture like the one that is looked at
const form = document.getElementById("wall-form"), grid = document.getElementById("wall-grid"), end = document.getElementById("wall-end");
const like = document.getElementById("wall-like");
let model, columns, side, height, batches = [], wanted = [], running = 0, shown = "", open;
const observer = new IntersectionObserver(entries => {
  for (const {target, isIntersecting} of entries) (isIntersecting ? fill : empty)(target);
}, {rootMargin: "75% 0px"});
new IntersectionObserver(([entry]) => { if (entry.isIntersecting && model) more(4); }, {rootMargin: "200% 0px"}).observe(end);
const firstSeed = () => wrap(Math.trunc(+state.fields.seed || 0));
/** The fields that all pictures of the wall share. */
export const shared = () => ({model: state.fields.model, label: state.fields.label, truncation: state.fields.truncation});
/** The picture at a place of the wall. */
export function pictureAt(index) {
  const seed = wrap(firstSeed() + index);
  return state.fields.like ? {blend: [...blendOf(named(state.fields.like)), [seed, LIKE]]} : {seed};
}
const blendOf = picture => (picture.blend || [[picture.seed, 1]]).slice(0, 15);

/** Shows the wall that the address names. `opened` is called with the place of a picture to enlarge. */
export function show(of, opened) {
  [model, open] = [of, opened];
  form.seed.value = firstSeed();
  classOptions(form.label, model.classes || [], "every class");
  form.label.value = state.fields.label ?? "";
  form.truncation.value = state.fields.truncation || 1;
  like.hidden = !state.fields.like;
  if (state.fields.like) like.firstChild.textContent = `Pictures like ${titleOf(named(state.fields.like)).toLowerCase()} `;
  const now = JSON.stringify([model.title, state.fields.seed, shared(), state.fields.like, state.fields.zoom, innerWidth]);
  if (now !== shown) build();
  shown = now;
}

function build() {
  for (const batch of batches) empty(batch);
  observer.disconnect();
  side = crisp(Math.max(model.width, model.height), Math.min(Math.max(LEAST, +state.fields.zoom || 128), grid.clientWidth / 3 - GAP));
  columns = Math.max(1, Math.floor((grid.clientWidth + GAP) / (side + GAP)));
  height = side * model.height / Math.max(model.width, model.height);
  const styles = {columns, height: `${height}px`, width: `${side * model.width / Math.max(model.width, model.height)}px`};
  for (const [name, value] of Object.entries(styles)) grid.style.setProperty(`--${name}`, value);
  [batches, wanted] = [[], []];
  grid.replaceChildren();
  const at = Math.max(0, Math.trunc(+state.fields.at || 0));
  more(2);
  while (batches.at(-1).first + batches.at(-1).n <= at + 2 * BATCH && at) more(1);
  if (at) scrollTo(0, grid.offsetTop + Math.floor(at / columns) * (height + GAP) - bars());
}

function more(count) {
  const rows = Math.max(1, Math.floor(Math.min(BATCH, MOST_PIXELS / (model.width * model.height)) / columns));
  for (; count > 0; count--) {
    const last = batches.at(-1), first = last ? last.first + last.n : 0, many = last ? rows : 1;
    const batch = element("div", {className: "batch"});
    Object.assign(batch, {first, n: many * columns});
    batch.style.height = `${many * (height + GAP)}px`;
    batches.push(batch);
    grid.append(batch);
    observer.observe(batch);
  }
}

function empty(batch) {
  batch.cancel?.abort();
  batch.cancel = null;
  wanted = wanted.filter(one => one !== batch);
  if (!batch.contains(document.activeElement)) batch.replaceChildren();
}

function fill(batch) {
  if (batch.cancel) return;
  batch.cancel = new AbortController();
  batch.replaceChildren(...Array.from({length: batch.n}, (_, place) => cell(batch.first + place)));
  batch.firstChild.tabIndex = 0; // one stop in each batch for the key Tab
  wanted.push(batch);
  next();
}

async function next() {
  if (running === AT_ONCE || !wanted.length) return;
  const batch = wanted.sort((one, other) => distance(one) - distance(other)).shift();
  running++;
  await attempt(load)(batch, batch.cancel.signal);
  running--;
  next();
}

function distance(batch) { // from what is seen; the first of those that are seen is the nearest
  const {top, bottom} = batch.getBoundingClientRect();
  return Math.max(0, top - innerHeight, -bottom) + batch.first / 1e9;
}

async function load(batch, signal) {
  const cells = [...batch.children];
  if (state.fields.like) {
    const drawn = cells.map(async (button, place) => paint(button, await fetchPicture(pictureAt(batch.first + place), shared(), signal)));
    await Promise.all(drawn);
  } else {
    const pictures = await fetchPictures(pictureAt(batch.first), shared(), {n: batch.n}, signal);
    pictures.forEach(({image, label}, place) => paint(cells[place], image, label));
  }
  if (batch.first === 0) performance.mark("first-pictures");
  say(`${batch.n} pictures more, from number ${batch.first + 1} of the wall`);
}

function cell(index) {
  const picture = pictureAt(index), name = picture.seed ?? `like ${nameOf(named(state.fields.like))}, number ${index + 1}`;
  const ariaLabel = picture.seed === undefined ? `Picture ${name}` : `Seed ${name}`;
  const button = element("button", {type: "button", className: "cell", tabIndex: -1, ariaLabel}, element("canvas"));
  Object.assign(button.dataset, {index, name: picture.seed ?? index + 1});
  return button;
}

function paint(button, image, label) {
  draw(button.firstChild, image);
  if (label ?? state.fields.label) button.ariaLabel += `, ${label ?? state.fields.label}`;
}

function focus(index) {
  const batch = batches.find(({first, n}) => index >= first && index < first + n);
  if (!batch) return;
  if (!batch.children.length) fill(batch);
  for (const other of grid.querySelectorAll('[tabindex="0"]')) other.tabIndex = -1;
  const button = batch.children[index - batch.first];
  button.tabIndex = 0;
  button.focus({preventScroll: true});
  button.scrollIntoView({block: "nearest"});
}

grid.addEventListener("click", event => {
  const button = event.target.closest(".cell");
  if (button) { focus(+button.dataset.index); open(pictureAt(+button.dataset.index), +button.dataset.index); }
});
grid.addEventListener("keydown", event => {
  const at = +document.activeElement.dataset.index;
  const to = {ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - columns, ArrowDown: at + columns, Home: 0,
    PageDown: at + columns * Math.floor(innerHeight / side), PageUp: at - columns * Math.floor(innerHeight / side)}[event.key];
  if (to === undefined || Number.isNaN(to)) return;
  event.preventDefault();
  focus(Math.max(0, to));
});

/** Changes what the wall shows, and goes to its beginning. */
function restart(fields) {
  change({at: "", ...fields}, true);
  scrollTo(0, 0);
  show(model, open);
}
form.addEventListener("submit", event => event.preventDefault());
form.seed.onchange = () => restart({seed: wrap(Math.trunc(+form.seed.value) || 0)});
form.label.onchange = () => restart({label: form.label.value});
form.truncation.onchange = () => restart({truncation: form.truncation.value === "1" ? "" : form.truncation.value});
like.lastChild.onclick = () => restart({like: ""});
document.getElementById("wall-dice").onclick = () => restart({seed: anySeed()});
const resize = by => {
  const now = Math.round(side * devicePixelRatio / model.width), to = Math.max(1, now + by) * model.width / devicePixelRatio;
  if (to <= grid.clientWidth / 2) { change({zoom: to, at: seen()}); show(model, open); }
};
document.getElementById("wall-smaller").onclick = () => resize(-1);
document.getElementById("wall-larger").onclick = () => resize(1);

/** The place of the first picture that is seen. */
function seen() {
  return Math.max(0, Math.round((bars() - grid.getBoundingClientRect().top) / (height + GAP))) * columns || "";
}
const bars = () => document.querySelector(".top").offsetHeight + (getComputedStyle(form).position === "sticky" ? form.offsetHeight : 0);
let still;
const once = work => () => { // it is quiet again
  clearTimeout(still);
  still = setTimeout(() => { if (state.view === "wall" && model) work(); }, 200);
};
addEventListener("scroll", once(() => change({at: seen()})), {passive: true});
addEventListener("resize", once(() => show(model, open)));

/** Shows pictures like this one, by other seeds than those that are in it. */
export const moreLike = picture => go("wall", {...shared(), seed: after(picture), like: nameOf(picture), zoom: state.fields.zoom});
const after = ({seed, blend}) => wrap((blend?.at(-1)[0] ?? seed) + 1);
