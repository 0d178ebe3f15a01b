// Two pictures on top of each other, and a divider between them that is dragged, or moved by the keys of a slider.
import {draw, element, size} from "./pictures.js";

export class Compare {
  constructor(place, ariaLabel, before, after) {
    [this.place, this.before, this.after] = [place, element("canvas"), element("canvas", {className: "over"})];
    const slider = element("input", {type: "range", min: 0, max: 100, step: 0.5, value: 50, ariaLabel});
    const tags = [["left", before], ["right", after]].map(([side, textContent]) => element("span", {className: `tag ${side}`, textContent}));
    this.frame = element("div", {className: "compare"}, this.before, this.after, ...tags, element("span", {className: "divider"}), slider);
    place.replaceChildren(this.frame);
    slider.oninput = () => this.frame.style.setProperty("--at", `${slider.value}%`);
    slider.oninput();
    new ResizeObserver(() => this.fit()).observe(place);
  }

  /** Shows a picture `before` or `after`, or a part of its width. */
  show(which, image, ariaLabel, left, width) {
    draw(this[which], image, left, width);
    Object.assign(this[which], {role: "img", ariaLabel});
    this.fit();
  }

  fit() {
    const room = Math.min(this.place.clientWidth, innerWidth < 760 ? innerHeight * 0.38 : Math.max(240, innerHeight - 260), 640);
    if (room > 0 && this.after.dataset.drawn !== undefined) size(this.frame, this.after, room);
  }
}
