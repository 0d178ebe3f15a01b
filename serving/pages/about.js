// The model in words, from its manifest, and what the service does now, from its metrics.
import {ask} from "./api.js";
import {element} from "./pictures.js";

const EVERY = 2000; // ms between two looks at the metrics
const percent = value => `${(100 * value).toFixed(value > 0.99 && value < 1 || value < 0.01 ? 2 : 0)}\u00a0%`;
const number = value => value.toLocaleString("en", {maximumSignificantDigits: 3});
const list = names => (names.length > 1 ? `${names.slice(0, -1).join(", ")} and ${names.at(-1)}` : names.join(""));

// How a figure reads. `real` is what real pictures get that are not the reference.
const SENTENCES = {
  precision: ({value, real}) => `${percent(value)} of its pictures look like real ones${real === null ? "" : `; of other real pictures ${percent(real)} do`} (precision).`,
  recall: ({value, real}) => `${percent(value)} of real pictures are like some that it draws${real === null ? "" : `; ${percent(real)} are like other real ones`} (recall).`,
  frechet: ({value, real}) => `Its distance from real pictures is ${number(value)}${real === null ? "" : `, where real pictures are ${number(real)} from each other`} (Fréchet distance; 0 is the same).`,
  label_accuracy: ({value}) => `${percent(value)} of its pictures show the class that was asked for.`,
  memorised: ({value}) => `${value ? percent(value) : "None"} of its pictures ${value ? "are" : "is"} a copy of a training picture.`,
};

/** Shows the card of a model. */
export function card(model) {
  const {origin} = model, colour = model.channels === 1 ? "grey" : "colour";
  const lines = [`It draws ${colour} pictures of ${model.width}×${model.height} pixels${model.classes ? `, of ${model.classes.length} classes: ${list(model.classes)}` : ""}.`];
  lines.push(origin.kind === "trained"
    ? `It was trained on ${origin.dataset_pictures.toLocaleString("en")} pictures of ${origin.dataset}, and saw ${origin.pictures_seen.toLocaleString("en")} in ${hours(origin.wall_time_seconds)} (recipe ${origin.config.recipe}, seed ${origin.seed}).`
    : `It was imported from ${origin.source}.`);
  const can = [model.directions.length && `move pictures along ${model.directions.length} directions`, model.networks.encoder && "find pictures by its encoder",
    model.scoring && "tell how unusual a picture is"].filter(Boolean);
  lines.push(can.length ? `It can ${list(can)}.` : "It has neither directions nor a score; the views Edit and Score say which command makes them.");
  const figures = Object.keys(SENTENCES).map(name => [name, model.metrics.find(metric => metric.name === name)]).filter(([, metric]) => metric);
  document.getElementById("about-title").textContent = model.name;
  document.getElementById("about-text").replaceChildren(element("p", {className: "quiet", textContent: `version ${model.version} · licence: ${model.licence}`}),
    ...lines.map(text => element("p", {textContent: text})), ...(figures.length ? [element("h3", {textContent: "How good it is"})] : []),
    ...figures.map(([name, metric]) => element("p", {className: "measure", textContent: SENTENCES[name](metric), title: metric.protocol})));
}
const hours = seconds => (seconds < 5400 ? `${Math.round(seconds / 60)} minutes` : `${(seconds / 3600).toFixed(1)} hours`);
let last = null, timer;
const sum = (text, name) => text.split("\n").filter(line => line.startsWith(name) && /[ {]/.test(line[name.length]))
  .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(" "))), 0);

/** Looks at the metrics now and then, while the page is seen. */
export async function watch() {
  clearTimeout(timer);
  if (!document.hidden) await look().catch(() => tell("no answer", false));
  timer = setTimeout(watch, EVERY);
}

async function look() {
  const text = await (await ask("metrics")).text(), now = performance.now();
  const read = {now, waiting: sum(text, "gan_queue_pictures"), drawn: sum(text, "gan_batch_pictures_sum"), batches: sum(text, "gan_batch_pictures_count"),
    busy: sum(text, "gan_infer_seconds_sum"), requests: sum(text, "gan_request_seconds_count")};
  const before = last ?? read, seconds = Math.max(0.001, (now - before.now) / 1000), batches = read.batches - before.batches;
  const rate = (read.drawn - before.drawn) / seconds;
  tell(`${read.waiting ? `${read.waiting} waiting · ` : ""}${rate < 10 ? rate.toFixed(rate ? 1 : 0) : Math.round(rate)} pictures/s`, rate > 0);
  const rows = [["Pictures a second", rate.toFixed(1)], ["Pictures waiting", read.waiting],
    ["Pictures in a batch", batches ? ((read.drawn - before.drawn) / batches).toFixed(1) : "–"], ["Device busy", percent(Math.min(1, (read.busy - before.busy) / seconds))],
    ["Requests a second", ((read.requests - before.requests) / seconds).toFixed(1)], ["Pictures since the start", read.drawn.toLocaleString("en")]];
  document.getElementById("about-live").replaceChildren(...rows.flatMap(([dt, dd]) => [element("dt", {textContent: dt}), element("dd", {textContent: dd})]));
  last = read;
}

function tell(text, busy) {
  document.getElementById("live-text").textContent = text;
  document.getElementById("live").classList.toggle("busy", busy);
}
