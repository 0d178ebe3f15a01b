// What is shown stands in the address behind #, so that a link, and a reload, show the same pictures:
//   #wall?model=avatars@d6d58f3ab901&seed=7
import {Problem} from "./api.js";

const VIEWS = ["wall", "morph", "edit", "score"];
const SEEDS = 2 ** 32;
export const state = {view: "wall", fields: {}};
const remembered = {}; // the fields of views that are not shown

/** Reads the address. */
export function read() {
  const [view, query] = location.hash.slice(1).split(/\?(.*)/s);
  state.view = VIEWS.includes(view) ? view : "wall";
  state.fields = Object.fromEntries(new URLSearchParams(query || ""));
  return state;
}
/** The address of a view with these fields; empty ones are left out. */
export function hash(view, fields) {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null && value !== "");
  // These have no meaning in a query that is behind #, and are easier to read.
  return `#${view}?${new URLSearchParams(given)}`.replaceAll("%3A", ":").replaceAll("%2C", ",").replaceAll("%3B", ";").replaceAll("%40", "@");
}
/** Changes fields of the view, in the address too; `step` makes it a step that the browser's back button takes back. */
export function change(fields, step = false) {
  state.fields = {...state.fields, ...fields};
  remembered[state.view] = state.fields;
  history[step ? "pushState" : "replaceState"](null, "", hash(state.view, state.fields));
  dispatchEvent(new CustomEvent("state-changed"));
}

/** Shows another view, with fields. */
export function go(view, fields) {
  location.hash = hash(view, {model: state.fields.model, ...fields});
}
/** The address of a view as it was left. */
export const leftAs = (view, model) => hash(view, {...(remembered[view]?.model === model ? remembered[view] : {}), model});
export const wrap = seed => ((seed % SEEDS) + SEEDS) % SEEDS;
export const anySeed = () => crypto.getRandomValues(new Uint32Array(1))[0];
/** A picture's name in an address: its seed, or seeds with weights. */
export const nameOf = ({seed, blend}) => (blend ? blend.map(pair => pair.join(":")).join(",") : `${seed}`);
export const named = text => (text.includes(":") ? {blend: text.split(",").map(pair => pair.split(":").map(Number))} : {seed: wrap(Math.trunc(+text) || 0)});
/** Names with values in an address, such as width:2;brightness:-1. */
export const pairs = text => (text || "").split(";").filter(Boolean).map(pair => pair.split(":"));
/** Latent vectors in an address: float32, little-endian, in base64url. */
export const packed = bytes => btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join("")).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
export function unpacked(text, kind = Uint8Array) {
  try {
    return new kind(Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), letter => letter.charCodeAt(0)).buffer);
  } catch { throw new Problem("This link is damaged: a part of its picture is missing.", 400); }
}
