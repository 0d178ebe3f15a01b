// How unusual a picture is, and where.
import {ask, attempt, bitmap, say} from "./api.js";
import {anySeed, change, packed, state, unpacked} from "./state.js";
import {addressOf, draw, element} from "./pictures.js";
import {Compare} from "./compare.js";
import {missing} from "./controls.js";

const MOST_BYTES = 24_000; // of a picture in an address
const get = id => document.getElementById(`score-${id}`);
let model, compare, shownOf = "", working;
const whatIs = ({picture, seed}) => JSON.stringify([model.title, picture, seed]);

/** Shows the score of the picture that the address names. */
export const show = attempt(async of => {
  model = of;
  document.getElementById("score").classList.toggle("lacks", !model.scoring);
  get("missing").replaceChildren(...(model.scoring ? [] : [missing(model, "score, nor the encoder that it needs", "training.encoder")]));
  if (!model.scoring) return;
  compare ??= new Compare(get("compare"), "Divider between the picture and its map", "picture", "map");
  const {picture, seed = "3"} = state.fields, what = whatIs(state.fields);
  if (what === shownOf) return;
  const blob = picture ? new Blob([unpacked(picture)], {type: "image/png"}) : await (await ask(addressOf({seed}, {model: model.title}))).blob();
  await score(blob, picture ? "your picture" : `seed ${seed}`);
  shownOf = what;
});

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
  say(get("words").textContent);
  return image;
}

/** Scores a picture of one's own, and puts it, as the model sees it, into the address. */
export const take = attempt(async file => {
  if (!model?.scoring) return;
  const image = await score(file, file.name || "your picture"), canvas = element("canvas");
  draw(canvas, image, 0, image.width / 2);
  const small = await new Promise(resolve => canvas.toBlob(resolve));
  if (small.size <= MOST_BYTES) change({picture: packed(new Uint8Array(await small.arrayBuffer())), seed: ""}, true);
  else get("words").textContent += " This picture is too large for a link.";
  shownOf = whatIs(state.fields);
});
get("file").onchange = () => { if (get("file").files[0]) take(get("file").files[0]); };
get("dice").onclick = () => { change({seed: anySeed() % 100_000, picture: ""}, true); show(model); };
