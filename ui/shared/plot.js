let library;
// Where the script is no file of the server's, the page brings it along (see `send_plotly`).
const address = async (served) => {
  // This module runs from a blob URL, so the address must be absolute.
  if (served) return new URL("app/static/plotly.min.js", document.baseURI).href;
  while (!globalThis.lotteryPlotly) await new Promise((done) => setTimeout(done, 50));
  return globalThis.lotteryPlotly;
};
const load = (served) => (library ??= address(served).then((from) => import(from)).then(
  () => window.Plotly,
  (error) => {
    library = undefined; // the next chart asks again
    throw error;
  },
));

// What figures draw in the page's own background (report/tiles.py).
const PAPER = "#fefefd";

const colours = (element) => {
  const style = getComputedStyle(element);
  const value = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
  return {
    text: value("--st-text-color", "#333"),
    background: value("--st-background-color", "#fff"),
    grid: value("--st-border-color-light", "rgba(128,128,128,0.2)"),
    line: value("--st-border-color", "rgba(128,128,128,0.4)"),
    font: value("--st-font", "sans-serif"),
  };
};

// For a projector, and on the full screen, no text is smaller than this.
const LARGE = 18; // pixels
const grown = (value, key = "") => {
  if (Array.isArray(value)) return value.map((one) => grown(one));
  if (!value || typeof value !== "object" || ArrayBuffer.isView(value) || value.bdata) return value;
  const parts = Object.entries(value).map(([name, part]) => [name, grown(part, name)]);
  const result = Object.fromEntries(parts);
  if (/font$/.test(key) && result.size < LARGE) result.size = LARGE;
  // There is as much room for the text around the plot as it is larger.
  if (key === "margin") for (const side of "lrtb") result[side] = Math.round(1.5 * (result[side] ?? 0));
  return result;
};

// Where the title needs all of the width, the toolbar comes below it.
const NARROW = 375, TOOLBAR = 200, LETTER = 7; // pixels
const makeRoom = (layout, node) => {
  const title = TOOLBAR + LETTER * (layout.title?.text?.length ?? 0);
  node.classList.toggle("narrow", node.clientWidth < Math.max(NARROW, title));
};

const themed = (layout, c, large) => {
  const axis = { gridcolor: c.grid, linecolor: c.line, zerolinecolor: c.line };
  const result = {
    ...layout,
    template: undefined,
    height: undefined, // the node's
    autosize: true,
    font: { family: c.font, color: c.text, size: large ? LARGE : 12 },
    title: { ...layout.title, font: { size: large ? 22 : 15, ...layout.title?.font } },
    paper_bgcolor: c.background,
    plot_bgcolor: layout.plot_bgcolor ?? c.background,
    hoverlabel: { font: { family: c.font } },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: c.text, activecolor: c.text },
  };
  for (const name of Object.keys(layout)) {
    if (/^[xy]axis\d*$/.test(name)) result[name] = { ...axis, ...layout[name] };
  }
  return result;
};

// A chart whose legend stands elsewhere on the page gets one in its picture.
// One whose level is said beside it says so itself in its picture (`meta.saved`).
const ROW = 26; // pixels of the legend
const withLegend = ({ data, layout }) => {
  const rows = ROW * data.filter((trace) => trace.showlegend !== false).length;
  const legend = { ...layout.legend, orientation: "v" };
  const margin = { ...layout.margin, b: layout.margin.b + rows };
  return { data, layout: { ...layout, showlegend: true, legend, margin } };
};

const saved = (node) => {
  const text = node.layout.meta.saved;
  const titled = text
    ? { data: node.data, layout: { ...node.layout, title: { ...node.layout.title, text } } }
    : node;
  if (!node.lotteryGroup) {
    const { clientWidth: width, clientHeight: height } = node;
    return { data: titled.data, layout: { ...titled.layout, width, height } };
  }
  const { data, layout } = withLegend(titled);
  const height = node.clientHeight + layout.margin.b - node.layout.margin.b;
  // The page's own font is not known inside a picture, and texts of another would be cut off.
  const font = { ...layout.font, family: "sans-serif" };
  return { data, layout: { ...layout, width: node.clientWidth, height, font } };
};

const download = (node, format) => window.Plotly.downloadImage(
  saved(node), { format, scale: format === "png" ? 2 : 1, filename: node.dataset.name }
);

const isFull = (node) => document.fullscreenElement === node;

const fullScreenButton = {
  name: "Full screen",
  icon: {
    width: 24, height: 24,
    path: "M4 4h6v2H6v4H4V4zm10 0h6v6h-2V6h-4V4zM4 14h2v4h4v2H4v-6zm14 0h2v6h-6v-2h4v-4z",
  },
  click: (node) => (isFull(node) ? document.exitFullscreen() : node.requestFullscreen()),
};

const svgButton = {
  name: "Download as SVG",
  icon: {
    width: 24, height: 24,
    path: "M5 20h14v-2H5v2zM19 9h-4V3H9v6H5l7 7 7-7z",
  },
  click: (node) => download(node, "svg"),
};

const pngButton = {
  name: "Download plot as a PNG",
  icon: { width: 24, height: 24, path: "M9 2 7.2 4H2v16h20V4h-5.2L15 2H9zm3 15a5 5 0 110-10 5 5 0 010 10z" },
  click: (node) => download(node, "png"),
};

// Charts and legends of one group know each other: which curves are hidden, and what is pointed
// at. Names of curves are their legendgroups. On `window`: each component runs a module of its own.
const groups = (window.lotteryGroups ??= new Map());

const join = (name, node) => {
  if (!groups.has(name)) groups.set(name, { charts: new Set(), legends: new Set(), hidden: new Set() });
  const group = groups.get(name);
  (node.classList.contains("lottery-plot") ? group.charts : group.legends).add(node);
  node.lotteryGroup = group;
  return group;
};

const leave = (name, node) => {
  const group = groups.get(name);
  group?.charts.delete(node);
  group?.legends.delete(node);
  if (group && !group.charts.size && !group.legends.size) groups.delete(name);
};

const toggle = (group, curve) => {
  if (!group.hidden.delete(curve)) group.hidden.add(curve);
  group.legends.forEach(mark);
  group.charts.forEach((node) => node.lotteryDraw?.());
};

const visible = (traces, group) => !group ? traces : traces.map((trace) => (
  group.hidden.has(trace.legendgroup) ? { ...trace, visible: "legendonly" } : trace
));

// While a run is replayed its charts are drawn as far as it was then (replay.js).
const soFar = (traces, layout) => window.lotteryCut?.(traces, layout.meta) ?? traces;

const others = (node) => [...node.lotteryGroup.charts].filter((chart) => (
  // The same value is the same place only on an axis of the same kind.
  chart !== node && chart._fullLayout
  && chart.layout.xaxis.title.text === node.layout.xaxis.title.text
));

// `true`: the other chart does not tell its own listeners, which would come back here.
const pointAt = (node, event) => {
  const { data: trace, x } = event.points[0];
  for (const chart of others(node)) {
    const points = chart._fullData.flatMap((one, curveNumber) => {
      if (one.legendgroup !== trace.legendgroup || one.hoverinfo === "skip") return [];
      const pointNumber = [...one.x].findIndex((at) => Math.abs(at - x) <= 1e-6 * Math.abs(x));
      return pointNumber < 0 || one.visible !== true ? [] : [{ curveNumber, pointNumber }];
    });
    if (points.length) window.Plotly.Fx.hover(chart, points, ["xy"], true);
    else window.Plotly.Fx.unhover(chart);
  }
};

const pointAway = (node) => others(node).forEach((chart) => window.Plotly.Fx.unhover(chart));

// Where points are levels, with these x in `meta.levels`, a press opens one (scrubber.js).
const levelOf = (node, event) => {
  const far = node.layout.meta.levels.map((x) => Math.abs(Math.log(x / event.points[0].x)));
  return far.indexOf(Math.min(...far));
};

// Where they are weights of a layer, that with the number `meta.layer`, one opens its unit
// (network.js): its row, or what its text begins with.
const unitOf = ({ customdata, y }) => Number(String(customdata ?? y).match(/\d+/)[0]);

const tell = (name, detail) => window.dispatchEvent(new CustomEvent(name, { detail }));

// Which place of a layer's picture the mouse is at, pruned or not, is told to ui/explorer/life.js.
const tellPlace = (node) => {
  node.addEventListener("mousemove", ({ clientX: left, clientY: top }) => {
    const { xaxis, yaxis } = node._fullLayout, box = node.getBoundingClientRect();
    const right = left - box.left - xaxis._offset, down = top - box.top - yaxis._offset;
    const inside = right >= 0 && right < xaxis._length && down >= 0 && down < yaxis._length;
    const { layer } = node.layout.meta;
    tell("lottery-weight", inside ? { layer, x: xaxis.p2d(right), y: yaxis.p2d(down), left, top } : null);
  });
  node.addEventListener("mouseleave", () => tell("lottery-weight", null));
};

// The same without a mouse: the arrow keys go from weight to weight, with Shift ten at a time,
// Enter opens the unit, Escape ends it.
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const walkPlaces = (node) => {
  const mark = document.createElement("div");
  mark.className = "lottery-weight-mark";
  let cell = null;
  const leave = () => {
    mark.remove();
    cell = null;
    tell("lottery-weight", null);
  };
  const show = ({ x0 = 0, dx = 1, y0 = 0, dy = 1 }) => {
    const { xaxis, yaxis } = node._fullLayout, box = node.getBoundingClientRect();
    const x = x0 + cell.column * dx, y = y0 + cell.row * dy;
    const left = box.left + xaxis._offset + xaxis.d2p(x), top = box.top + yaxis._offset + yaxis.d2p(y);
    document.body.append(mark);
    mark.style.left = `${left}px`;
    mark.style.top = `${top}px`;
    tell("lottery-weight", { layer: node.layout.meta.layer, x, y, left, top });
  };
  const near = (value, count) => Math.max(0, Math.min(count - 1, value));
  node.addEventListener("keydown", (event) => {
    const way = ARROWS[event.key], trace = node._fullData?.[0];
    if (event.target !== node || !trace?.z) return;
    if (event.key === "Escape") leave();
    if (event.key === "Enter" && cell) {
      const customdata = trace.customdata?.[cell.row]?.[cell.column];
      tell("lottery-unit", { layer: node.layout.meta.layer, unit: unitOf({ customdata, y: cell.row }) });
    }
    if (!way) return;
    event.preventDefault(); // the page stays where it is
    const by = event.shiftKey ? 10 : 1;
    cell = cell ? {
      column: near(cell.column + by * way[0], trace.z[0].length),
      row: near(cell.row + by * way[1], trace.z.length),
    } : { column: 0, row: 0 };
    show(trace);
  });
  node.addEventListener("blur", leave);
};

const openParts = (node) => {
  if (node.layout.meta.layer !== undefined) {
    tellPlace(node);
    walkPlaces(node);
  }
  node.on("plotly_hover", () => node.classList.add("opens"));
  node.on("plotly_unhover", () => node.classList.remove("opens"));
  node.on("plotly_click", (event) => {
    const { levels, layer } = node.layout.meta;
    if (levels) tell("lottery-level", levelOf(node, event));
    else tell("lottery-unit", { layer, unit: unitOf(event.points[0]) });
  });
};

const listen = (node) => {
  node.on("plotly_hover", (event) => node.lotteryGroup && pointAt(node, event));
  node.on("plotly_unhover", () => node.lotteryGroup && pointAway(node));
};

// Plotly's dashes and markers, drawn small.
const DASHES = {
  solid: "none", dot: "2 3", dash: "6 4", longdash: "11 4", dashdot: "7 3 2 3",
  longdashdot: "11 3 2 3",
};
const SYMBOLS = {
  circle: "M4 0A4 4 0 11-4 0 4 4 0 114 0Z",
  square: "M-4-4H4V4H-4Z",
  diamond: "M0-5.4 5.4 0 0 5.4-5.4 0Z",
  "triangle-up": "M0-5 5 4H-5Z",
  "triangle-down": "M0 5-5-4H5Z",
  cross: "M-1.6-5H1.6V-1.6H5V1.6H1.6V5H-1.6V1.6H-5V-1.6H-1.6Z",
  x: "M0-2 2.6-4.8 4.8-2.6 2 0 4.8 2.6 2.6 4.8 0 2-2.6 4.8-4.8 2.6-2 0-4.8-2.6-2.6-4.8Z",
  star: "M0-5.6 1.4-1.9 5.3-1.7 2.2 .7 3.3 4.5 0 2.3-3.3 4.5-2.2 .7-5.3-1.7-1.4-1.9Z",
  hexagon: "M0-5 4.3-2.5V2.5L0 5-4.3 2.5V-2.5Z",
  hourglass: "M-5-5H5L-5 5H5Z",
  bowtie: "M-5-5V5L5-5V5Z",
  "triangle-left": "M-5 0 4 5V-5Z",
  "triangle-right": "M5 0-4 5V-5Z",
  "triangle-ne": "M-5-4.5H4.5V5Z",
  pentagon: "M0-5 4.8-1.5 2.9 4H-2.9L-4.8-1.5Z",
  "star-square": "M-5-5 0-2.2 5-5 2.2 0 5 5 0 2.2-5 5-2.2 0Z",
  hexagram: "M0-5.5 1.6-2.7H4.8L3.2 0 4.8 2.7H1.6L0 5.5-1.6 2.7H-4.8L-3.2 0-4.8-2.7H-1.6Z",
  "arrow-up": "M0-5 3.6 4.5H-3.6Z",
  "arrow-down": "M0 5 3.6-4.5H-3.6Z",
};

const svg = (name, attributes) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};

const swatch = ({ colour, dash, symbol }) => {
  const picture = svg("svg", { width: 40, height: 14, viewBox: "-20 -7 40 14", "aria-hidden": true });
  const pattern = DASHES[dash] ?? dash.replaceAll("px", "").replaceAll(",", " ");
  const [shape, open] = symbol.split(/-(?=open$)/);
  const ink = open ? { fill: "none", stroke: colour, "stroke-width": 1.5 } : { fill: colour };
  picture.append(
    svg("line", { x1: -19, x2: 19, stroke: colour, "stroke-width": 2.5, "stroke-dasharray": pattern }),
    svg("path", { d: SYMBOLS[shape] ?? SYMBOLS.circle, ...ink }),
  );
  return picture;
};

const mark = (legend) => legend.querySelectorAll("button").forEach((button) => (
  button.setAttribute("aria-pressed", !legend.lotteryGroup.hidden.has(button.dataset.curve))
));

const showLegend = (node, { legend, note, group: name }) => {
  const group = join(name, node);
  node.setAttribute("role", "group");
  node.setAttribute("aria-label", "Legend: press a curve to hide or show it");
  const drawn = JSON.stringify([legend, note]);
  if (node.lotteryDrawn !== drawn) {
    node.lotteryDrawn = drawn;
    node.replaceChildren(...legend.map((entry) => {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.curve = entry.curve;
      button.onclick = () => toggle(group, entry.curve);
      button.append(swatch(entry), entry.name);
      return button;
    }));
    if (note) {
      const said = document.createElement("span");
      said.textContent = note;
      node.append(said);
    }
  }
  mark(node);
  return () => {
    leave(name, node);
    node.lotteryDrawn = undefined;
  };
};

// A header in JSON, a line break, and the figure: JSON that was deflated.
const opened = (bytes) => {
  const end = bytes.indexOf(10);
  return { ...JSON.parse(new TextDecoder().decode(bytes.subarray(0, end))), content: bytes.subarray(end + 1) };
};

const inflated = (content) => new Response(
  new Blob([content]).stream().pipeThrough(new DecompressionStream("deflate")),
).text();

// Weights travel as whole numbers of a unit: a character each, "!" for none, or two bytes in base64,
// the smallest number for none (see `_small` in plot.py).
const weights = ({ unit, bytes, shape: [rows, columns], cells }) => {
  const [none, zero] = bytes === 1 ? [33, 66] : [-32768, 0];
  const whole = bytes === 1 ? Uint8Array.from(cells, (character) => character.charCodeAt(0))
    : new Int16Array(Uint8Array.from(atob(cells), (character) => character.charCodeAt(0)).buffer);
  const values = Float32Array.from(whole, (value) => (value === none ? NaN : (value - zero) * unit));
  return Array.from({ length: rows }, (_, row) => values.subarray(row * columns, (row + 1) * columns));
};

const figureOf = async (content, background) => {
  const figure = JSON.parse((await inflated(content)).replaceAll(PAPER, background));
  for (const trace of figure.data) if (trace.z?.unit) trace.z = weights(trace.z);
  return figure;
};

const showPlot = (node, data, parentElement) => {
  node.style.height = data.height;
  node.setAttribute("role", "figure");  // an image may hold no buttons
  node.setAttribute("aria-label", data.alt);
  node.tabIndex = 0;
  const group = data.group ? join(data.group, node) : undefined;
  // Given back by every run: the one from the last run is the one that is called.
  const unmount = () => {
    if (data.group) leave(data.group, node);
    node.lotteryGroup = node.lotteryDraw = undefined;
    node.lotteryObserver?.disconnect();
    node.lotteryObserver = undefined;
    node.lotteryDrawn = undefined;
    // Not in the middle of a drawing, which would go on with what is no longer there.
    Promise.resolve(node.lotteryBusy).then(() => {
      if (node.lotteryDrawn === undefined) window.Plotly?.purge(node);
    });
  };
  const c = colours(parentElement);
  const drawn = JSON.stringify(c) + data.large + data.name;
  if (node.lotteryDrawn === drawn) return unmount;
  node.lotteryDrawn = drawn;
  Promise.all([load(data.served), figureOf(data.content, c.background)]).then(([Plotly, figure]) => {
    if (node.lotteryDrawn !== drawn) return; // a newer figure has come meanwhile
    const name = (figure.layout.title?.text ?? "chart").replace(/[^\w]+/g, "-").toLowerCase();
    node.dataset.name = name;
    // The first would upload the chart to somebody else's server.
    const removed = ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d"];
    const busy = (drawing) => {
      node.lotteryBusy = Promise.allSettled([node.lotteryBusy, drawing]);
    };
    const drawing = () => {
      const full = isFull(node), large = data.large || full;
      const one = full && group ? withLegend(figure) : figure;
      makeRoom(one.layout, node);
      const layout = themed(one.layout, c, large);
      const traces = soFar(visible(one.data, group), figure.layout);
      return large ? [grown(traces), grown(layout)] : [traces, layout];
    };
    node.onfullscreenchange = () => node.lotteryDraw?.();
    node.lotteryDraw = () => busy(Plotly.react(node, ...drawing(), {
      responsive: true,
      displaylogo: false,
      modeBarButtonsToRemove: group ? [...removed, "toImage"] : removed,
      modeBarButtonsToAdd: [...(group ? [pngButton] : []), svgButton, fullScreenButton],
      toImageButtonOptions: { format: "png", scale: 2, filename: name },
    }));
    node.lotteryDraw();
    if (!node.lotteryObserver) {
      if (group) listen(node);
      const { levels, layer } = figure.layout.meta;
      if (levels || layer !== undefined) openParts(node);
      node.lotteryObserver = new ResizeObserver(() => {
        if (!node.isConnected || !node.clientWidth) return;
        makeRoom(figure.layout, node);
        busy(Plotly.Plots.resize(node));
      });
      node.lotteryObserver.observe(node);
    }
  });
  return unmount;
};

export default function ({ data, parentElement }) {
  const legend = parentElement.querySelector(".lottery-legend");
  if (legend && data) return showLegend(legend, data);
  const node = parentElement.querySelector(".lottery-plot");
  return node && data ? showPlot(node, opened(data), parentElement) : undefined;
}
