// One picture, enlarged: how to ask for it, and what lies near it.
import {ask, explain, fileName, key, save} from "./api.js";
import {change, go, nameOf, named, state, wrap} from "./state.js";
import {addressOf, crisp, draw, element, fetchPicture, fetchPictures, size, titleOf} from "./pictures.js";
import {moreLike} from "./wall.js";
import {addCorner} from "./morph.js";

const NEIGHBOURS = 8, NEAR = 0.4; // the weight of another seed, where the picture's own has 1
const FAR = 1_000_003; // between the seeds of neighbours, so that those of a seed are not those of the next

const get = id => document.getElementById(`detail-${id}`);
const dialog = document.getElementById("detail"), canvas = get("picture"), neighbours = document.getElementById("neighbours");
let model, picture, drawing;

export const shared = () => ({model: state.fields.model, label: state.fields.label, truncation: state.fields.truncation});

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

async function enlarge(chosen) {
  picture = chosen;
  drawing?.abort();
  drawing = new AbortController();
  const {signal} = drawing, fields = shared(), title = titleOf(picture);
  get("title").textContent = title;
  get("class").textContent = "";
  for (const id of ["back", "on"]) get(id).hidden = Boolean(picture.blend);
  lines(fields);
  if (!dialog.open) dialog.showModal();
  try {
    const [{image, label}] = await fetchPictures(picture, fields, {}, signal);
    draw(canvas, image);
    resize();
    const facts = [label ?? "", fields.truncation ? `variety ${fields.truncation}` : "", model.title].filter(Boolean);
    get("class").textContent = facts.join(" · ");
    canvas.setAttribute("aria-label", [title, ...facts].join(", "));
    near(fields, signal);
  } catch (problem) {
    explain(problem);
  }
}

function resize() {
  if (!dialog.open || canvas.dataset.drawn === undefined) return;
  const narrow = innerWidth < 760;
  size(canvas, canvas, Math.max(64, narrow ? Math.min(innerWidth - 48, innerHeight * 0.42) : Math.min(innerWidth * 0.5, innerHeight - 140, 576)));
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
  const curl = key.get() ? `curl -OJ -H "Authorization: Bearer $GAN_KEY" '${address}'` : `curl -OJ '${address}'`;
  const python = key.get()
    ? `import os, requests; open("${name}", "wb").write(requests.get("${address}", headers={"Authorization": "Bearer " + os.environ["GAN_KEY"]}).content)`
    : `import urllib.request; urllib.request.urlretrieve("${address}", "${name}")`;
  document.getElementById("detail-lines").replaceChildren(...[["Address", address], ["curl", curl], ["Python", python]].map(([title, text]) => {
    const copy = element("button", {type: "button", textContent: "Copy", ariaLabel: `Copy: ${title}`});
    copy.onclick = async () => {
      await navigator.clipboard.writeText(text).catch(() => getSelection().selectAllChildren(code));
      copy.textContent = "Copied";
      setTimeout(() => { copy.textContent = "Copy"; }, 1500);
    };
    const code = element("code", {textContent: text, tabIndex: 0});
    return element("div", {className: "line"}, element("h3", {textContent: title}), copy, code);
  }));
  Object.assign(get("save"), {href: address});
}

get("save").onclick = async event => {
  event.preventDefault(); // a link carries no key
  try {
    const answer = await ask(addressOf(picture, shared()));
    save(await answer.blob(), fileName(answer, "picture.png"));
  } catch (problem) {
    explain(problem);
  }
};
const step = by => { if (!picture.blend) open(model, {seed: wrap(picture.seed + by)}); };
get("back").onclick = () => step(-1);
get("on").onclick = () => step(1);
get("like").onclick = () => { dialog.close(); moreLike(picture, shared()); };
get("edit").onclick = () => go("edit", {...shared(), ...(picture.blend ? {blend: nameOf(picture)} : {seed: picture.seed})});
get("morph").onclick = () => {
  addCorner(picture);
  get("morph").textContent = "Added";
  setTimeout(() => { get("morph").textContent = "Add to morph"; }, 1500);
};
dialog.addEventListener("keydown", event => {
  if (event.target.closest("code, #neighbours")) return;
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
dialog.addEventListener("close", () => {
  drawing?.abort();
  if (state.view === "wall" && state.fields.open) change({open: ""});
});
