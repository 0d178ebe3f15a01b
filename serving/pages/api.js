// Requests to the service. Addresses are relative to the page, so that they are right behind any path prefix.
const KEY = "gan-service key";
const MOST_TRIES = 4; // of a request that the service is too busy for

export const key = {get: () => sessionStorage.getItem(KEY), set: value => sessionStorage.setItem(KEY, value)};
/** What went wrong, in the service's words. */
export class Problem extends Error {
  constructor(message, status = 0) { super(message); this.status = status; }
}
const PASSING = [0, 408, 429, 503, 504];
let passing = false;
const element = document.getElementById("problem");
element.querySelector("button").onclick = () => forget();

/** Shows a problem; one that was cancelled, or that asks for a key, is none. */
export function explain(problem) {
  if (problem.name === "AbortError" || problem.status === 401) return;
  if (!(problem instanceof Problem)) console.error(problem);
  element.querySelector("p").textContent = problem.message;
  element.hidden = false;
  passing = PASSING.includes(problem.status); // what works later says that it is over
}
/** A function that shows what goes wrong in it. */
export const attempt = work => (...given) => Promise.resolve(given).then(all => work(...all)).then(() => { if (passing) forget(); }, explain);
export const forget = () => { element.hidden = true; };
/** For those who hear the page. */
export const say = text => { document.getElementById("said").textContent = text; };

/** The service's answer, with the key if one was given. Throws Problem; waits and tries again where the service is busy. */
export async function ask(where, request = {}) {
  const headers = {...request.headers};
  // Headers take bytes: the key's in UTF-8.
  if (key.get()) headers.Authorization = "Bearer " + String.fromCharCode(...new TextEncoder().encode(key.get()));
  for (let attempt = 1; ; attempt++) {
    let answer;
    try {
      answer = await fetch(where, {...request, headers});
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem("The service does not answer. Is it running, and is the network there?");
    }
    if (answer.ok) return answer;
    const {detail} = await answer.json().catch(() => ({detail: `${answer.status} ${answer.statusText}`}));
    if (answer.status === 401) dispatchEvent(new CustomEvent("key-needed"));
    const busy = answer.status === 429 || answer.status === 503;
    const gone = answer.status === 404 && detail.startsWith("model:"); // a new version has taken its place
    if (!busy || attempt === MOST_TRIES) throw new Problem(gone ? `${detail}. Load this page again.` : detail, answer.status);
    const seconds = Math.min(5, +answer.headers.get("Retry-After") || 1);
    await new Promise(resolve => setTimeout(resolve, 1000 * seconds));
  }
}

const JSON_TYPE = {"Content-Type": "application/json"};
export const post = (where, fields, signal) => ask(where, {method: "POST", body: JSON.stringify(fields), headers: JSON_TYPE, signal});
/** The picture of an answer, undisturbed by colour management. */
export const bitmap = blob => createImageBitmap(blob, {colorSpaceConversion: "none"});
/** The name that the service gives an answer as a file. */
export function fileName(answer, otherwise) {
  const header = answer.headers.get("Content-Disposition") || "";
  const encoded = /filename\*=UTF-8''([^;]+)/i.exec(header), plain = /filename="([^"]*)"/.exec(header);
  return encoded ? decodeURIComponent(encoded[1]) : plain ? plain[1] : otherwise;
}

/** Saves a blob as a file. */
export function save(blob, name) {
  const link = Object.assign(document.createElement("a"), {href: URL.createObjectURL(blob), download: name});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Shows the newest of the things that are asked for, at most `most` at once: what is asked for in between is left out. */
export function newest(draw, show, most = 2) {
  let running = 0, next, asked = 0, shown = 0;
  return function request(given) {
    if (running === most) { next = given; return; }
    const turn = ++asked;
    running++;
    attempt(async () => {
      const image = await draw(given);
      if (turn > shown) show(image, given); // else a later one was quicker
      shown = Math.max(turn, shown);
    })().finally(() => {
      const waiting = next;
      [running, next] = [running - 1, undefined];
      if (waiting !== undefined) request(waiting);
    });
  };
}
