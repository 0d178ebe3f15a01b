// One picture, enlarged: how to ask for it, and what lies near it.
import {ask, attempt, explain, fileName, key, save} from "./api.js";
import {change, go, nameOf, named, state, wrap} from "./state.js";
import {addressOf, crisp, draw, element, fetchPicture, fetchPictures, size, titleOf} from "./pictures.js";
import {moreLike, shared} from "./wall.js";
import {addCorner} from "./morph.js";

const NEIGHBOURS = 8, NEAR = 0.4; // the weight of another seed, where the picture's own has 1
const FAR = 1_000_003; // between the seeds of neighbours, so that those of a seed are not those of the next
const get = id => document.getElementById(`detail-${id}`);
const dialog = document.getElementById("detail"), canvas = get("picture"), neighbours = document.getElementById("neighbours");
let model, picture, drawing;
/** Enlarges the picture that the address names, if it names one. */
export function show(of) {
  model = of;
  if (state.view !== "wall" || !state.fields.open) { if (dialog.open) dialog.close(); return; }
  enlarge(named(state.fields.open));
}

/** Enlarges a picture, and writes it into the address. */
export function open(of, chosen) {
  model = of;
  change({open: nameOf(chosen)}, true);
  enlarge(chosen);
}

const enlarge = attempt(async chosen => {
  picture = chosen;
  drawing?.abort();
  drawing = new AbortController();
  const {signal} = drawing, fields = shared(), title = titleOf(picture);
  get("title").textContent = title;
  [canvas.ariaLabel, get("class").textContent] = [title, ""];
  for (const id of ["back", "on"]) get(id).hidden = Boolean(picture.blend);
  lines(fields);
  if (!dialog.open) dialog.showModal();
  const [{image, label}] = await fetchPictures(picture, fields, {}, signal);
  draw(canvas, image);
  resize();
  const facts = [label ?? "", fields.truncation ? `variety ${fields.truncation}` : "", model.title].filter(Boolean);
  get("class").textContent = facts.join(" · ");
  canvas.setAttribute("aria-label", [title, ...facts].join(", "));
  near(fields, signal);
});

function resize() {
  if (!dialog.open || canvas.dataset.drawn === undefined) return;
  size(canvas, canvas, innerWidth < 760 ? Math.min(innerWidth - 48, innerHeight * 0.42) : Math.min(innerWidth * 0.5, innerHeight - 140, 576));
}
addEventListener("resize", resize);

function near(fields, signal) {
  const from = picture.blend || [[picture.seed, 1]];
  neighbours.replaceChildren(...Array.from({length: NEIGHBOURS}, (_, place) => {
    const other = wrap(from[0][0] + FAR * (place + 1)), neighbour = {blend: [...from.slice(0, 15), [other, NEAR]]};
    const small = element("canvas"), button = element("button", {type: "button", className: "cell", ariaLabel: `Neighbour ${place + 1}`}, small);
    button.onclick = () => open(model, neighbour);
    size(small, model, crisp(Math.max(model.width, model.height), 72));
    fetchPicture(neighbour, fields, signal).then(image => draw(small, image)).catch(explain);
    return button;
  }));
}

/** The address, and what people type into a shell or into Python for it. */
function lines(fields) {
  const address = `${new URL(addressOf(picture, fields), document.baseURI)}`, name = "picture.png";
  const curl = `curl -OJ ${key.get() ? '-H "Authorization: Bearer $GAN_KEY" ' : ""}'${address}'`;
  const python = key.get() // from the environment in both, so that a copied line has no key in it
    ? `import os, requests; open("${name}", "wb").write(requests.get("${address}", headers={"Authorization": "Bearer " + os.environ["GAN_KEY"]}).content)`
    : `import urllib.request; urllib.request.urlretrieve("${address}", "${name}")`;
  document.getElementById("detail-lines").replaceChildren(...[["Address", address], ["curl", curl], ["Python", python]].map(([title, text]) => {
    const copy = element("button", {type: "button", textContent: "Copy", ariaLabel: `Copy: ${title}`});
    copy.onclick = () => navigator.clipboard.writeText(text).then(() => tell(copy, "Copied"), () => getSelection().selectAllChildren(code));
    const code = element("code", {textContent: text, tabIndex: 0});
    return element("div", {className: "line"}, element("h3", {textContent: title}), copy, code);
  }));
}

/** Says on a button, for a moment, what it did. */
function tell(button, text) {
  const before = button.dataset.text ??= button.textContent;
  button.textContent = text;
  setTimeout(() => { button.textContent = before; }, 1500);
}

get("save").onclick = attempt(async () => {
  const answer = await ask(addressOf(picture, shared()));
  save(await answer.blob(), fileName(answer, "picture.png"));
});
const step = by => { if (by && !picture.blend) open(model, {seed: wrap(picture.seed + by)}); };
[get("back").onclick, get("on").onclick] = [() => step(-1), () => step(1)];
get("like").onclick = () => { dialog.close(); moreLike(picture); };
get("edit").onclick = () => go("edit", {...shared(), ...(picture.blend ? {blend: nameOf(picture)} : {seed: picture.seed})});
get("morph").onclick = () => { addCorner(picture); tell(get("morph"), "Added"); };
dialog.addEventListener("keydown", ({key: pressed, target}) => {
  if (pressed.startsWith("Arrow") && !target.closest("code, #neighbours")) step({ArrowLeft: -1, ArrowRight: 1}[pressed] ?? 0);
});
dialog.addEventListener("close", () => {
  drawing?.abort();
  if (state.view === "wall" && state.fields.open) change({open: ""});
});
