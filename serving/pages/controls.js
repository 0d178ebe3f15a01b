// The controls of an edit, made from the model's manifest.
import {pairs} from "./state.js";
import {element} from "./pictures.js";

const MOST = 3, MOST_OF_CODE = 2; // of a move along a direction, and of a code that is a number, which was within 1 in training
const OWN = "its own"; // what a picture has by itself
const get = id => document.getElementById(`edit-${id}`);
/** Builds the controls. `changed(fields, done)` is called while one is moved, and when it is let go. */
export function build(model, fields, changed) {
  const moves = new Map(), codes = new Map(); // by name
  const given = rows => [...rows].map(([name, row]) => [name, row.given()]).filter(([, value]) => value !== "").map(pair => pair.join(":")).join(";");

  const named = model.directions.filter(({kind}) => kind !== "sefa"), found = model.directions.filter(({kind}) => kind === "sefa");
  const list = directions => element("div", {className: "sliders"}, ...directions.map(direction => {
    const row = directionOf(direction, done => changed({move: given(moves)}, done));
    moves.set(direction.name, row);
    return row.element;
  }));
  const summary = element("summary", {textContent: "Directions that the network's weights suggest"});
  get("directions").replaceChildren(
    ...(named.length ? [element("fieldset", {}, element("legend", {textContent: "Directions"}), list(named))] : []),
    ...(found.length ? [element("details", {open: !named.length}, summary, list(found))] : []),
    ...(model.directions.length ? [] : [missing(model, "directions to move pictures along", "training.directions")]));

  const classes = chipsOf("class", model.classes || [], label => changed({label}, true));
  get("classes").replaceChildren(classes.element);

  const variety = element("input", {type: "range", min: 0.1, max: 1, step: 0.05, ariaLabel: "Variety: less is more typical"});
  const vary = done => () => changed({truncation: variety.value === "1" ? "" : variety.value}, done);
  [variety.oninput, variety.onchange] = [vary(false), vary(true)];
  get("truncation").replaceChildren(variety, ends("typical", "as it comes"));

  for (const {name, categories} of model.codes) {
    const tell = done => changed({codes: given(codes)}, done);
    codes.set(name, categories ? chipsOf(name, [...Array(categories).keys()].map(String), () => tell(true), name) : sliderOf(name, MOST_OF_CODE, OWN, tell));
  }
  get("codes").replaceChildren(...[...codes.values()].map(row => row.element));

  const set = now => {
    for (const [rows, text] of [[moves, now.move], [codes, now.codes]]) {
      const values = new Map(pairs(text));
      for (const [name, row] of rows) row.set(values.get(name));
    }
    classes.set(now.label);
    variety.value = now.truncation || 1;
    get("truncation").parentElement.hidden = Boolean(now.noise) || !truncates(model);
  };
  const words = now => [now.label && `class ${now.label}`, now.truncation && `variety ${now.truncation}`,
    ...[now.move, now.codes].map(text => (text || "").replaceAll(";", ", ").replaceAll(":", " "))].filter(Boolean).join(", ");
  set(fields);
  return {set, words};
}

/** Whether a model's pictures can be made more typical. */
export const truncates = model => Boolean(model.styles) || model.latent === "normal";
/** What a model lacks, and the command that makes it. */
export function missing(model, what, command) {
  return element("p", {className: "missing"}, `${model.name} has no ${what}. This makes them: `,
    element("code", {textContent: `python -m ${command} models/${model.name}`}));
}
const ends = (...words) => element("div", {className: "ends"}, ...words.map(textContent => element("span", {textContent})));

/** A choice of one of several values, or of none, below its title if it has one. */
function chipsOf(name, values, chosen, title) {
  const chips = ["", ...values].map(value => {
    const radio = element("input", {type: "radio", name, value});
    radio.onchange = () => chosen(value);
    return element("label", {className: "chip"}, radio, element("span", {textContent: value || OWN}));
  });
  const all = element("div", {className: "chips", role: "group", ariaLabel: name}, ...(title ? [element("span", {className: "name", textContent: title})] : []), ...chips);
  const set = (value = "") => { for (const chip of chips) chip.firstChild.checked = chip.firstChild.value === value; };
  return {element: all, set, given: () => chips.find(chip => chip.firstChild.checked)?.firstChild.value ?? ""};
}

/** A slider beside its value, which a button takes back to what it is by itself: 0.0 for a move. */
function sliderOf(title, most, own, changed, label = title) {
  let given = "";
  const input = element("input", {className: "two-sided", type: "range", min: -most, max: most, step: 0.1, ariaLabel: label}), output = element("output");
  const back = element("button", {type: "button", className: "zero", ariaLabel: `${label}: back to ${own}`}, output);
  const set = (value = "") => {
    given = own === "0.0" && !+value ? "" : `${value}`;
    input.value = given || 0;
    output.textContent = given ? (+given).toFixed(1) : own;
    back.disabled = !given;
    input.style.setProperty("--value", `${50 + 50 * input.value / most}%`); // the track is filled from its middle
  };
  const take = (done, value) => { set(value); changed(done); };
  [input.oninput, input.onchange, back.onclick] = [() => take(false, input.value), () => take(true, input.value), () => take(true)];
  return {element: element("div", {className: "slider"}, element("span", {className: "name"}, title), back, input), given: () => given, set};
}

/** The slider of a direction: what lies at its ends, and a colour where it leads to one. */
function directionOf({name, about, r2}, changed) {
  const colour = /towards (#[\da-f]{6})/i.exec(about)?.[1];
  const [, less = "", more = ""] = /(?:^|: )(?:from )?([\w\s-]+?) to ([\w\s-]+?)(?:: |$| colours)/.exec(about) || [];
  const words = name.replace(/-[\da-f]{6}$/, "").replaceAll("-", " "), title = words[0].toUpperCase() + words.slice(1);
  const row = sliderOf(title, MOST, "0.0", changed, `${title}${colour ? ` towards ${colour}` : ""}`);
  if (colour) row.element.firstChild.prepend(element("span", {className: "swatch"}));
  row.element.style.setProperty("--swatch", colour ?? "");
  if (less) row.element.append(ends(less, more));
  row.element.title = r2 === null ? about : `${about} (explains ${Math.round(100 * r2)} % of it)`;
  return row;
}
