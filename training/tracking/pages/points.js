// Draws a run on points in the plane: the discriminator's field, the generator's manifold, real and generated points.

function colour(canvas, name) { return getComputedStyle(canvas).getPropertyValue(name).trim(); }

function parts(hex) { return [1, 3, 5].map(at => parseInt(hex.slice(at, at + 2), 16)); }

// The field as an image of one pixel for each point of the lattice: the more certain the discriminator, the more colour.
function fieldImage(canvas, field, side) {
  const image = new ImageData(side, side), real = parts(colour(canvas, "--c0")), fake = parts(colour(canvas, "--c1"));
  for (let at = 0; at < side * side; at++) {
    const x = at % side, y = side - 1 - Math.floor(at / side), to = 4 * (y * side + x), certain = 2 * field[at] / 255 - 1;
    image.data.set(certain > 0 ? real : fake, to);
    image.data[to + 3] = 150 * Math.abs(certain);
  }
  const small = document.createElement("canvas");
  small.width = small.height = side;
  small.getContext("2d").putImageData(image, 0, 0);
  return small;
}

function decoded(frame) {
  frame.fieldValues ??= Uint8Array.from(atob(frame.field), letter => letter.charCodeAt(0));
  return frame.fieldValues;
}

function between(before, after, share) {
  return Array.from(before, (value, at) => value + (after[at] - value) * share);
}

// Draw the moment `share` of the way from one frame to the next; `shown` names what is drawn beside the generated points.
function drawPoints(canvas, run, before, after, share, shown = {field: true, manifold: true, real: true}) {
  const side = Math.round(canvas.clientWidth * devicePixelRatio) || 300, context = canvas.getContext("2d");
  canvas.width = canvas.height = side;
  const scale = side / (2 * run.window * 1000), middle = side / 2, unit = Math.max(side / 300, 1.25);
  const x = value => middle + value * scale, y = value => middle - value * scale;
  if (shown.field) {
    context.drawImage(fieldImage(canvas, between(decoded(before), decoded(after), share), run.side), 0, 0, side, side);
  }
  if (shown.manifold && before.manifold && after.manifold) {
    const lines = run.lines, at = between(before.manifold, after.manifold, share);
    context.beginPath();
    for (let row = 0; row < lines; row++) {
      for (const [start, step] of [[row * lines, 1], [row, lines]]) {
        for (let place = 0; place < lines; place++) {
          const point = 2 * (start + place * step);
          context[place ? "lineTo" : "moveTo"](x(at[point]), y(at[point + 1]));
        }
      }
    }
    context.strokeStyle = colour(canvas, "--faint");
    context.globalAlpha = .55;
    context.lineWidth = .6 * unit;
    context.stroke();
  }
  const dots = (points, name, opacity, radius) => {
    context.beginPath();
    for (let at = 0; at < points.length; at += 2) {
      context.moveTo(x(points[at]) + radius, y(points[at + 1]));
      context.arc(x(points[at]), y(points[at + 1]), radius, 0, 7);
    }
    context.globalAlpha = opacity;
    context.fillStyle = colour(canvas, name);
    context.fill();
    context.globalAlpha = 1;
  };
  if (shown.real) dots(run.real, "--c0", .8, .9 * unit);
  dots(between(before.points, after.points, share), "--c1", .95, 1.1 * unit);
}
