// Pictures of a model: their addresses, and how they are shown, pixel by pixel.
import {ask, bitmap} from "./api.js";
import {nameOf} from "./state.js";

/** The address of a picture `{seed}` or `{blend}`, with the fields that all pictures of a view share. */
export function addressOf(picture, shared, more = {}) {
  const fields = {...shared, [picture.blend ? "blend" : "seed"]: nameOf(picture), format: "png", ...more};
  const query = new URLSearchParams(Object.entries(fields).filter(([, value]) => value !== undefined && value !== ""));
  return "generate?" + `${query}`.replaceAll("%3A", ":").replaceAll("%2C", ",").replaceAll("%40", "@");
}

/** One picture, by GET, which the browser's cache keeps. */
export async function fetchPicture(picture, shared, signal) {
  return bitmap(await (await ask(addressOf(picture, shared), {signal})).blob());
}

/** A picture, or n from its seed on, in one request: `[{label, noise, image}]`, the label being the class as people call it. */
export async function fetchPictures(picture, shared, more, signal) {
  const answer = await ask(addressOf(picture, shared, {...more, format: "json"}), {signal});
  const {images} = await answer.json();
  return Promise.all(images.map(async ({label, noise, data}) => {
    const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
    return {label, noise, image: await bitmap(new Blob([bytes], {type: "image/png"}))};
  }));
}

/** Draws a picture onto a canvas, one pixel for each of its own. */
export function draw(canvas, image, left = 0, width = image.width) {
  canvas.width = width;
  canvas.height = image.height;
  canvas.getContext("2d").drawImage(image, -left, 0);
  canvas.dataset.drawn = "";
}

/** The side, in CSS pixels, at which each pixel of a picture covers whole pixels of the screen: `wanted`, or a little less. */
export function crisp(pixels, wanted) {
  const screen = wanted * devicePixelRatio;
  const zoom = screen >= pixels ? Math.floor(screen / pixels) : 1 / Math.ceil(pixels / screen);
  return pixels * zoom / devicePixelRatio;
}

/** Gives a canvas, or whatever shows a picture of the model, such a size within a square. */
export function size(element, {width, height}, wanted) {
  const longest = Math.max(width, height), side = crisp(longest, wanted);
  element.style.width = `${side * width / longest}px`;
  element.style.height = `${side * height / longest}px`;
}

/** What a picture is called. */
export const titleOf = ({seed, blend}) => (blend ? `Between ${blend.map(([one]) => one).join(", ")}` : `Seed ${seed}`);
/** Options of a choice of class, before them what no choice means. */
export function classOptions(select, classes, none) {
  select.replaceChildren(new Option(none, ""), ...classes.map(name => new Option(name, name)));
}
/** An element with properties and children. */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}
