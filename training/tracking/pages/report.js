// From a server the page asks itself for news, which costs next to nothing while there are none. A file can only be read again;
// whether to do so is kept in its address, since a file has no other storage.
const served = location.protocol.startsWith("http"), WAIT = 3000;
let tag = null;

function setUp() {
  data = read("data");
  charts = [...document.querySelectorAll(".chart")];
  outputs = [...document.querySelectorAll(".legend [data-key]")].map(item => {
    const output = item.querySelector("output"), compared = document.createElement("small");
    output.after(" ", compared);
    return {key: item.dataset.key, output, compared, latest: output.textContent, level: item.dataset.level};
  });
  const note = document.querySelector(".at");
  note.dataset.latest = note.textContent;
  for (const chart of charts) {
    chart.across = range(chart, "images");
    const plot = chart.querySelector(".plot");
    const point = event => {
      const box = plot.getBoundingClientRect(), [left, right] = chart.across;
      show(left + (right - left) * Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1));
    };
    plot.addEventListener("pointermove", point);
    plot.addEventListener("pointerdown", point);
    plot.addEventListener("pointerleave", () => show(null));
  }
  const choose = document.querySelector(".choose");
  choose.hidden = !charts.length;
  choose.querySelector("input").addEventListener("change", async event => {
    const file = event.target.files[0];
    if (file) compareWith(file.name, await file.text());
  });
  document.querySelector(".compared button").addEventListener("click", () => compare(null, null));
  const samples = document.getElementById("samples");
  if (samples) setUpSamples(samples);
  if (other) compare(other.name, other.curves);
  if (served) listOthers().catch(() => {});
}

// The slider takes the arrow keys itself while it has the focus.
document.addEventListener("keydown", event => {
  const step = {ArrowLeft: -1, ArrowRight: 1}[event.key], samples = document.getElementById("samples");
  if (!step || !samples || event.target.matches?.("input, select") || event.altKey || event.ctrlKey || event.metaKey) return;
  samples.stop();
  const slider = samples.querySelector(".controls input");
  turnTo(step > 0 ? Math.floor(slider.valueAsNumber) + 1 : Math.ceil(slider.valueAsNumber) - 1);
});

// Put a newer version of this page in the place of this one, and leave the view as it is.
function renew(content) {
  const slider = document.querySelector("#samples .controls input"), live = document.querySelector("#live input");
  const place = slider && slider.value !== slider.max ? slider.valueAsNumber : null;
  const boxes = [...document.querySelectorAll("[name]")].map(box => [box.name, box.checked]);
  const open = document.querySelector("details")?.open;
  document.getElementById("samples")?.stop();
  const newer = new DOMParser().parseFromString(content, "text/html");
  newer.querySelectorAll("script:not([type])").forEach(script => script.remove());
  document.body.replaceChildren(...newer.body.childNodes);
  for (const [name, checked] of boxes) document.querySelector(`[name="${name}"]`).checked = checked;
  if (document.querySelector("details")) document.querySelector("details").open = open;
  setUp();
  setUpLive(live?.checked);
  if (place !== null && turnTo) turnTo(place);
}


function setUpLive(checked = location.hash === "#live") {
  const live = document.getElementById("live"), box = live.querySelector("input");
  live.hidden = served || !document.querySelector("progress");
  box.checked = checked;
  box.addEventListener("change", () => { location.hash = box.checked ? "live" : ""; });
}

async function ask() {
  try {
    const answer = await fetch(location.pathname, {cache: "no-cache"}), now = answer.headers.get("etag");
    if (answer.ok && tag !== null && now !== tag && !timer) renew(await answer.text());
    if (answer.ok && !timer) tag = now;
  } catch { /* the server is away: it may come back */ }
  setTimeout(ask, document.hidden ? 10 * WAIT : WAIT);
}

// The other runs of the server, to compare with.
async function listOthers() {
  const answer = await fetch("../../runs.json");
  if (!answer.ok) return;
  const select = document.querySelector(".choose select"), {runs} = await answer.json();
  const names = runs.map(run => run.name).filter(name => name !== document.querySelector("h1").textContent);
  select.parentElement.hidden = !names.length;
  select.replaceChildren(...["another run", ...names].map((name, at) => new Option(name, at ? name : "", false, name === other?.name)));
  select.addEventListener("change", async () => {
    if (!select.value) return compare(null, null);
    const report = await fetch(`../${encodeURIComponent(select.value)}/`);
    compareWith(select.value, report.ok ? await report.text() : "");
  });
}

setUp();
setUpLive();
const again = () => { if (turnTo) turnTo(document.querySelector("#samples .controls input").valueAsNumber); };
addEventListener("resize", again);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
if (served) {
  ask();
} else {
  setInterval(() => { if (document.querySelector("#live input").checked && document.querySelector("progress")) location.reload(); }, 30000);
}
