// The page asks for the list of runs every few seconds, which costs next to nothing while it has not changed (ETag).
const WAIT = 3000, articles = new Map(), json = path => fetch(path).then(answer => answer.json());
const list = document.getElementById("runs"), state = document.getElementById("state");
let tag = null;

function articleOf(name) {
  if (!articles.has(name)) {
    const article = document.getElementById("run").content.firstElementChild.cloneNode(true);
    article.dataset.address = `runs/${encodeURIComponent(name)}/`;
    article.querySelectorAll("a").forEach(link => { link.href = article.dataset.address; });
    article.querySelector("h2 a").textContent = name;
    articles.set(name, article);
  }
  return articles.get(name);
}

async function drawFrame(canvas, address, run) {
  const [backdrop, frame] = await Promise.all([json(address + run.backdrop), json(address + run.frame)]);
  canvas.again = () => drawPoints(canvas, backdrop, frame, frame, 0);
  canvas.again();
}

function fill(article, run) {
  const find = selector => article.querySelector(selector), address = article.dataset.address;
  find(".state").textContent = run.state;
  find(".state").className = `state ${run.state}`;
  find(".settings").textContent = run.about.join(" · ");
  find(".facts").textContent = run.facts.join(" · ");
  find("progress").hidden = run.share === null;
  find("progress").value = run.share ?? 0;
  find("dl").replaceChildren(...run.figures.flatMap(figure => ["dt", "dd"].map((kind, at) => {
    const item = document.createElement(kind);
    item.textContent = figure[at];
    return item;
  })));
  find(".warning").hidden = run.warning === null;
  find(".warning").textContent = find(".warning").title = run.warning ?? "";
  const image = find("img"), canvas = find("canvas");
  image.hidden = run.samples === null;
  canvas.hidden = run.frame === null;
  find(".samples span").hidden = !image.hidden || !canvas.hidden;
  if (run.samples !== null) image.src = address + encodeURIComponent(run.samples);
  if (run.frame !== null && canvas.dataset.frame !== run.frame) {
    canvas.dataset.frame = run.frame;
    drawFrame(canvas, address, run).catch(() => { delete canvas.dataset.frame; });  // at the next time
  }
}

async function ask() {
  try {
    const answer = await fetch("runs.json", {cache: "no-cache"});
    if (!answer.ok) throw new Error(await answer.text());
    if (answer.headers.get("etag") !== tag) {
      const {folder, runs} = await answer.json();
      list.replaceChildren(...runs.map(run => articleOf(run.name)));
      runs.forEach(run => fill(articleOf(run.name), run));
      const running = runs.filter(run => run.state === "running").length;
      state.textContent = runs.length ? `${runs.length} ${runs.length === 1 ? "run" : "runs"}, ${running} running` : `no runs yet in ${folder}: start one with python -m training.run, and it shows here`;
      tag = answer.headers.get("etag");
    }
  } catch (error) {
    state.textContent = `the server does not answer (${error.message}); this page asks again`;
    tag = null;
  }
  setTimeout(ask, document.hidden ? 10 * WAIT : WAIT);
}

const again = () => document.querySelectorAll("canvas").forEach(canvas => canvas.again?.());
addEventListener("resize", again);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
ask();
