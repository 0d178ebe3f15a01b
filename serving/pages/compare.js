// Two pictures on top of each other, and a divider between them that is dragged, or moved by the keys of a slider.
import {draw, element, size} from "./pictures.js";

export class Compare {
  constructor(place, label, before, after) {
    this.before = element("canvas", {role: "img"});
    this.after = element("canvas", {role: "img", className: "over"});
    this.slider = element("input", {type: "range", min: 0, max: 100, step: 0.5, value: 50});
    this.slider.setAttribute("aria-label", label);
    this.frame = element("div", {className: "compare"}, this.before, this.after,
      element("span", {className: "tag left", textContent: before}), element("span", {className: "tag right", textContent: after}),
      element("span", {className: "divider"}), this.slider);
    this.place = place;
    place.replaceChildren(this.frame);
    this.slider.oninput = () => this.divide();
    this.divide();
    new ResizeObserver(() => this.fit()).observe(place);
  }

  /** Moves the divider: `at` percent of the width show the picture before. */
  divide(at = this.slider.value) {
    this.slider.value = at;
    this.frame.style.setProperty("--at", `${this.slider.value}%`);
  }

  show(which, image, alt, left, width) {
    draw(this[which], image, left, width);
    this[which].setAttribute("aria-label", alt);
    this.fit();
  }

  fit() {
    const {width, height} = this.after;
    const room = Math.min(this.place.clientWidth, Math.max(240, innerHeight - 260), 640);
    if (room > 0 && this.after.dataset.drawn !== undefined) size(this.frame, {width, height}, room);
  }
}
