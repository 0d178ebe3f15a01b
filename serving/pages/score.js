// How unusual a picture is, and where.
import {ask, bitmap, explain, forget, say} from "./api.js";
import {anySeed, change, packed, state, unpacked} from "./state.js";
import {addressOf, element} from "./pictures.js";
import {Compare} from "./compare.js";
import {missing} from "./controls.js";

const MOST_BYTES = 24_000; // of a picture in an address
const get = id => document.getElementById(`score-${id}`);
let model, compare, shownOf = "", working;

/** Shows the score of the picture that the address names. */
export async function show(of) {
  model = of;
  const panel = document.querySelector("#score .panel"), none = document.getElementById("score-missing");
  none?.remove();
  document.getElementById("score").classList.toggle("lacks", !model.scoring);
  if (!model.scoring) {
    const text = missing(model, "score, nor the encoder that it needs", "training.encoder");
    text.id = "score-missing";
    panel.prepend(text);
    return;
  }
  compare ??= new Compare(get("compare"), "Divider between the picture and its map", "picture", "map");
  const {picture, seed = "3"} = state.fields, what = JSON.stringify([model.title, picture, seed]);
  if (what === shownOf) return;
  shownOf = what;
  try {
    const blob = picture ? new Blob([unpacked(picture)], {type: "image/png"})
      : await (await ask(addressOf({seed}, {model: state.fields.model}))).blob();
    await score(blob, picture ? "your picture" : `seed ${seed}`);
  } catch (problem) {
    shownOf = "";
    explain(problem);
  }
}

async function score(blob, name) {
  working?.abort();
  working = new AbortController();
  const send = format => ask(`score?${new URLSearchParams({model: state.fields.model, format})}`,
    {method: "POST", body: blob, headers: {"Content-Type": blob.type || "image/png"}, signal: working.signal});
  const [told, map] = await Promise.all([send("json"), send("png")]);
  const [{share}] = (await told.json()).images, image = await bitmap(await map.blob());
  compare.show("before", image, `The picture: ${name}`, 0, image.width / 2);
  compare.show("after", image, `Map of ${name}: the brighter, the further from what the model draws`, image.width / 2, image.width / 2);
  get("result").hidden = false;
  get("share").textContent = `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
  get("meter").value = share;
  get("words").textContent = `of ${model.scoring.pictures.toLocaleString("en")} real pictures, which the model was not trained on, are at least as unusual as ${name}. `
    + (share < 0.01 ? "It is very unusual for this model." : share < 0.05 ? "It is unusual for this model." : "It looks like those that the model knows.");
  forget();
  say(get("words").textContent);
  return image;
}

/** Scores a picture of one's own, and puts it, as the model sees it, into the address. */
export async function take(file) {
  if (!model?.scoring) return;
  try {
    const image = await score(file, file.name || "your picture");
    const canvas = element("canvas", {width: image.width / 2, height: image.height});
    canvas.getContext("2d").drawImage(image, 0, 0);
    const small = await new Promise(resolve => canvas.toBlob(resolve));
    const fits = small.size <= MOST_BYTES;
    if (fits) change({picture: packed(new Uint8Array(await small.arrayBuffer())), seed: ""}, true);
    if (!fits) get("words").textContent += " This picture is too large for a link.";
    shownOf = JSON.stringify([model.title, state.fields.picture, state.fields.seed || "3"]);
  } catch (problem) {
    explain(problem);
  }
}
get("file").onchange = () => { if (get("file").files[0]) take(get("file").files[0]); };
get("dice").onclick = () => { change({seed: anySeed() % 100_000, picture: ""}, true); show(model); };
