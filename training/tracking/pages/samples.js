const still = matchMedia("(prefers-reduced-motion: reduce)");
let timer = null, turnTo = null;  // what moves the samples, and the function that shows a place

// The samples: pictures that fade from one grid to the next, or points that move.
function setUpSamples(samples) {
  const slider = samples.querySelector(".controls input"), button = samples.querySelector(".controls button");
  const pictures = [...samples.querySelectorAll("img[data-images]")], run = read("points"), canvas = samples.querySelector("canvas");
  const seenAt = run ? run.frames.map(frame => frame.pictures) : pictures.map(image => Number(image.dataset.images));
  const last = seenAt.length - 1, caption = samples.querySelector("output");
  const draw = place => {
    const first = Math.min(Math.floor(place), last), share = place - first;
    if (!run) {
      pictures.forEach((image, at) => {
        image.hidden = at !== first && !(at === first + 1 && share > 0);
        image.style.opacity = at === first + 1 ? share : 1;
      });
      return;
    }
    const boxes = Object.fromEntries([...samples.querySelectorAll("[name]")].map(box => [box.name, box.checked]));
    drawPoints(canvas, run, run.frames[first], run.frames[Math.min(first + 1, last)], share, boxes);
  };
  turnTo = place => {
    slider.value = place;
    const at = Math.round(slider.valueAsNumber), frame = run?.frames[at];
    draw(slider.valueAsNumber);
    caption.textContent = seenAt[at].toLocaleString("en");
    if (run) {
      samples.querySelector(".covered").textContent =
        `${frame.modes} of ${run.modes} modes covered, ${Math.round(100 * frame.good)} % of the points good`;
    }
    show(slider.valueAsNumber === last ? null : seenAt[at]);
  };
  const stop = () => { cancelAnimationFrame(timer); timer = null; button.textContent = "▶"; button.setAttribute("aria-label", "Play"); };
  samples.querySelector(".controls").hidden = last < 1;
  slider.addEventListener("input", () => { stop(); turnTo(slider.valueAsNumber); });
  button.addEventListener("click", () => {
    if (timer) return stop();
    let place = slider.valueAsNumber === last ? 0 : slider.valueAsNumber, before = null;
    const pause = run ? 160 : 500;  // milliseconds from one to the next
    const step = now => {
      place = Math.min(place + (before === null ? 0 : (now - before) / pause), last);
      before = now;
      turnTo(still.matches ? Math.floor(place) : place);
      if (place < last) timer = requestAnimationFrame(step); else stop();
    };
    button.textContent = "❚❚";
    button.setAttribute("aria-label", "Pause");
    timer = requestAnimationFrame(step);
  });
  samples.querySelectorAll("[name]").forEach(box => box.addEventListener("change", () => draw(slider.valueAsNumber)));
  samples.stop = stop;
  turnTo(last);
}
