let library;
const load = () => (library ??= import(
  // The module runs from a blob URL, so the address must be absolute.
  new URL("app/static/plotly.min.js", document.baseURI).href
).then(() => window.Plotly));

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

const themed = (layout, c) => {
  const axis = { gridcolor: c.grid, linecolor: c.line, zerolinecolor: c.line };
  const result = {
    ...layout,
    template: undefined,
    autosize: true,
    font: { family: c.font, color: c.text, size: 12 },
    title: { ...layout.title, font: { size: 15 } },
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

const svgButton = {
  name: "Download as SVG",
  icon: {
    width: 24, height: 24,
    path: "M5 20h14v-2H5v2zM19 9h-4V3H9v6H5l7 7 7-7z",
  },
  click: (node) => window.Plotly.downloadImage(node, { format: "svg", filename: node.dataset.name }),
};

export default function ({ data, parentElement, key }) {
  const node = parentElement.querySelector(".lottery-plot");
  if (!node || !data) return;
  node.style.height = `${data.height}px`;
  node.setAttribute("role", "img");
  node.setAttribute("aria-label", data.alt);
  node.tabIndex = 0;
  const c = colours(parentElement);
  const drawn = JSON.stringify(c) + data.figure;
  if (node.lotteryDrawn === drawn) return;
  node.lotteryDrawn = drawn;
  load().then((Plotly) => {
    if (node.lotteryDrawn !== drawn) return; // a newer figure has come meanwhile
    const figure = JSON.parse(data.figure);
    const name = (figure.layout.title?.text ?? "chart").replace(/[^\w]+/g, "-").toLowerCase();
    node.dataset.name = name;
    Plotly.react(node, figure.data, themed(figure.layout, c), {
      responsive: true,
      displaylogo: false,
      // The first would upload the chart to somebody else's server.
      modeBarButtonsToRemove: ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d"],
      modeBarButtonsToAdd: [svgButton],
      toImageButtonOptions: { format: "png", scale: 2, filename: name },
    });
    if (!node.lotteryObserver) {
      node.lotteryObserver = new ResizeObserver(() => {
        if (node.isConnected && node.clientWidth) Plotly.Plots.resize(node);
      });
      node.lotteryObserver.observe(node);
    }
  });
  return () => {
    node.lotteryObserver?.disconnect();
    node.lotteryObserver = undefined;
    node.lotteryDrawn = undefined;
    window.Plotly?.purge(node);
  };
}
