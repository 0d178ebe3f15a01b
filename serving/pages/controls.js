// The controls of an edit, made from the model's manifest.
import {pairs} from "./state.js";
import {element} from "./pictures.js";

const MOST = 3; // of a move along a direction
const get = id => document.getElementById(`edit-${id}`);
/** Builds the controls. `changed(fields, done)` is called while one is moved, and when it is let go. */
export function build(model, fields, changed) {
  const sliders = new Map(); // by the name of a direction
  const moves = () => [...sliders].filter(([, slider]) => +slider.value).map(([name, slider]) => `${name}:${slider.value}`).join(";");

  const named = model.directions.filter(({kind}) => kind !== "sefa"), found = model.directions.filter(({kind}) => kind === "sefa");
  const list = directions => element("div", {className: "sliders"}, ...directions.map(direction => {
    const row = sliderOf(direction);
    sliders.set(direction.name, row.input);
    row.input.oninput = () => { row.tell(); changed({move: moves()}, false); };
    row.input.onchange = () => changed({move: moves()}, true);
    return row.element;
  }));
  const summary = element("summary", {textContent: "Directions that the network's weights suggest"});
  get("directions").replaceChildren(
    ...(named.length ? [element("fieldset", {}, element("legend", {textContent: "Directions"}), list(named))] : []),
    ...(found.length ? [element("details", {open: !named.length}, summary, list(found))] : []),
    ...(model.directions.length ? [] : [missing(model, "directions to move pictures along", "training.directions")]));

  const chips = ["", ...(model.classes || [])].map(name => {
    const radio = element("input", {type: "radio", name: "class", value: name});
    radio.onchange = () => changed({label: name}, true);
    return element("label", {className: "chip"}, radio, element("span", {textContent: name || "its own"}));
  });
  get("classes").replaceChildren(...chips);

  const variety = element("input", {type: "range", min: 0.1, max: 1, step: 0.05, ariaLabel: "Variety: less is more typical"});
  const truncation = () => (variety.value === "1" ? "" : variety.value);
  variety.oninput = () => changed({truncation: truncation()}, false);
  variety.onchange = () => changed({truncation: truncation()}, true);
  get("truncation").replaceChildren(variety, ends("typical", "as it comes"));

  const codes = new Map(model.codes.map(code => [code.name, codeOf(code)]));
  const given = () => [...codes].filter(([, input]) => input.value !== "").map(([name, input]) => `${name}:${input.value}`).join(";");
  for (const input of codes.values()) input.onchange = () => changed({codes: given()}, true);
  get("codes").replaceChildren(...[...codes].map(([name, input]) => element("label", {className: "field", textContent: `${name} `}, input)));

  const set = now => {
    const moved = new Map(pairs(now.move)), fixed = new Map(pairs(now.codes));
    for (const [name, slider] of sliders) { slider.value = moved.get(name) ?? 0; slider.tell(); }
    for (const {firstChild} of chips) firstChild.checked = firstChild.value === (now.label || "");
    variety.value = now.truncation || 1;
    get("truncation").parentElement.hidden = Boolean(now.noise) || !truncates(model);
    for (const [name, input] of codes) input.value = fixed.get(name) ?? "";
  };
  const words = now => [now.label && `class ${now.label}`, now.truncation && `variety ${now.truncation}`,
    (now.move || "").replaceAll(";", ", ").replaceAll(":", " "), now.codes].filter(Boolean).join(", ");
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

/** A slider of a direction: its name, what lies at its ends, and a colour where it leads to one. */
function sliderOf({name, about, r2}) {
  const colour = /towards (#[\da-f]{6})/i.exec(about)?.[1];
  const [, less = "", more = ""] = /(?:^|: )(?:from )?([\w\s-]+?) to ([\w\s-]+?)(?:: |$| colours)/.exec(about) || [];
  const words = name.replace(/-[\da-f]{6}$/, "").replaceAll("-", " "), title = words[0].toUpperCase() + words.slice(1);
  const input = element("input", {className: "two-sided", type: "range", min: -MOST, max: MOST, step: 0.1, value: 0, title: about});
  input.dataset.direction = name;
  input.setAttribute("aria-label", `${title}${colour ? ` towards ${colour}` : ""}`);
  const output = element("output"), swatch = element("span", {className: "swatch"});
  if (colour) swatch.style.background = colour;
  const zero = element("button", {type: "button", className: "zero", ariaLabel: `${title}: back to 0`}, output);
  const tell = input.tell = () => {
    output.textContent = (+input.value).toFixed(1);
    zero.disabled = !+input.value;
    input.style.setProperty("--value", `${50 + 50 * input.value / MOST}%`); // the track is filled from its middle
  };
  zero.onclick = () => { input.value = 0; tell(); input.dispatchEvent(new Event("change")); };
  const row = element("div", {className: "slider"}, element("span", {className: "name"}, ...(colour ? [swatch] : []), title), zero, input,
    ...(less ? [ends(less, more)] : []));
  row.title = r2 === null ? about : `${about} (explains ${Math.round(100 * r2)} % of it)`;
  return {element: row, input, tell};
}

function codeOf({name, categories}) {
  if (categories) return element("select", {}, new Option("its own", ""), ...Array.from({length: categories}, (_, index) => new Option(index)));
  return element("input", {type: "number", min: -2, max: 2, step: 0.1, placeholder: "its own", ariaLabel: name});
}
