// Draws the charts in the colours of the reader's system, moves the slider, saves and copies.
const PAPER = "#fefefd"; // what figures draw in the page's own background

const theme = (light) => {
  const style = getComputedStyle(document.documentElement);
  const value = (name, plain) => light ? plain : style.getPropertyValue(name).trim();
  return {
    text: value("--text", "#1f2a33"), paper: value("--paper", "#ffffff"), line: value("--line", "#cdd5db"),
  };
};

const themed = (figure, colours) => {
  const { data, layout } = JSON.parse(JSON.stringify(figure).replaceAll(PAPER, colours.paper));
  const result = {
    ...layout,
    template: undefined,
    autosize: true,
    font: { family: "sans-serif", color: colours.text, size: 12 },
    title: { ...layout.title, font: { size: 15, ...layout.title?.font } },
    paper_bgcolor: colours.paper,
    plot_bgcolor: layout.plot_bgcolor ?? colours.paper,
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colours.text, activecolor: colours.text },
  };
  const axis = { gridcolor: colours.line, linecolor: colours.line, zerolinecolor: colours.line };
  for (const name of Object.keys(layout)) {
    if (/^[xy]axis\d*$/.test(name)) result[name] = { ...axis, ...layout[name] };
  }
  return { data, layout: result };
};

const figures = new Map();
const figureOf = (chart) => {
  if (!figures.has(chart)) figures.set(chart, JSON.parse(chart.querySelector("script").textContent));
  return figures.get(chart);
};

const PRINTED = 680; // pixels, of A4 or letter between its margins

// Light and narrow for print.
const draw = (chart, light = false) => {
  const plot = chart.querySelector(".plot");
  if (!plot.clientWidth) return undefined; // of a level that is not shown
  const { data, layout } = themed(figureOf(chart), theme(light));
  const width = light ? Math.min(plot.clientWidth, PRINTED) : plot.clientWidth;
  return Plotly.react(plot, data, { ...layout, width }, {
    displaylogo: false,
    modeBarButtonsToRemove: ["toImage", "sendChartToCloud", "select2d", "lasso2d", "autoScale2d"],
  });
};

const charts = [...document.querySelectorAll(".chart")];
const drawAll = (light = false) => charts.forEach((chart) => draw(chart, light));

// Files are light, whatever the page is: they go into papers.
const save = async (chart, format) => {
  const { data, layout } = themed(figureOf(chart), theme(true));
  await Plotly.downloadImage(
    { data, layout: { ...layout, width: 760, height: layout.height } },
    { format, width: 760, height: layout.height, scale: format === "png" ? 3 : 1, filename: chart.dataset.name },
  );
};

const say = (words) => { document.getElementById("said").textContent = words; };

const copy = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // not every browser lets a file on disk use the clipboard
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
};

const LEVEL = document.getElementById("level");
const layers = JSON.parse(document.querySelector("#layers > script")?.textContent ?? "[]");
document.querySelectorAll(".layer img").forEach((image, n) => {
  // The picture that came with the page.
  layers[n].levels.find((one) => !one.png).png = image.src.split(",")[1];
});

const show = (n) => {
  const words = document.querySelector(".scrubber output").dataset;
  document.querySelector(".scrubber output").textContent = JSON.parse(words.levels)[n];
  LEVEL.setAttribute("aria-valuetext", JSON.parse(words.levels)[n]);
  document.querySelectorAll(".layer").forEach((figure) => {
    const layer = layers[figure.dataset.layer];
    const one = layer.levels[n];
    const image = figure.querySelector("img");
    image.src = `data:image/png;base64,${one.png}`;
    image.alt = `Weights of ${layer.name}, ${layer.shape}, level ${n}: ${one.told}`;
    figure.querySelector(".kept").textContent = one.told;
    figure.querySelectorAll(".limit").forEach((limit) => { limit.textContent = one.limit; });
  });
  document.querySelectorAll("[data-level]").forEach((one) => { one.hidden = Number(one.dataset.level) !== n; });
  document.querySelectorAll(`[data-level="${n}"] .chart`).forEach((chart) => draw(chart));
};

if (LEVEL) {
  const play = document.getElementById("play");
  let timer;
  const pause = () => {
    clearInterval(timer);
    timer = undefined;
    play.textContent = "Play";
  };
  LEVEL.addEventListener("input", () => {
    pause();
    show(Number(LEVEL.value));
  });
  play.addEventListener("click", () => {
    if (timer) return pause();
    if (LEVEL.value === LEVEL.max) LEVEL.value = "-1";
    const next = () => {
      LEVEL.value = Number(LEVEL.value) + 1;
      show(Number(LEVEL.value));
      if (LEVEL.value === LEVEL.max) pause();
    };
    play.textContent = "Pause";
    timer = setInterval(next, 900);
    return undefined;
  });
}

document.addEventListener("click", async ({ target }) => {
  const button = target.closest("button");
  if (!button) return;
  if (button.dataset.format) await save(button.closest(".chart"), button.dataset.format);
  if (button.classList.contains("copy")) {
    await copy(button.closest("figure").querySelector("code").textContent);
    button.textContent = "Copied";
    say("Copied");
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  }
  if (button.classList.contains("save-all")) {
    for (const chart of charts) {
      await save(chart, "svg"); // one after the other: browsers drop what comes at once
    }
    say(`${charts.length} charts saved`);
  }
});

let width = 0;
new ResizeObserver(() => {
  if (document.body.clientWidth === width) return;
  width = document.body.clientWidth;
  drawAll();
}).observe(document.body);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll());
addEventListener("beforeprint", () => drawAll(true));
addEventListener("afterprint", () => drawAll());
