// Every point is here already: moving the slider asks no server, which is told where it is let go.
// The marker it moves is the last trace of the chart next to it.
const percent = (fraction, digits) => `${(100 * fraction).toFixed(digits)}\u202f%`;

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".lottery-pruner");
  if (!root || !data) return;
  const range = root.querySelector("input");
  const label = root.querySelector("output");
  const { points } = data;

  const draw = () => {
    const [sparsity, kept, accuracy] = points[Number(range.value)];
    const gone = `${Number((100 * sparsity).toFixed(2))}\u202f%`;
    range.setAttribute("aria-valuetext", `${gone} pruned: ${percent(accuracy, 1)} read correctly`);
    label.querySelector(".gone").textContent = gone;
    label.querySelector(".kept").textContent =
      `${kept.toLocaleString("en-GB")} weights left`;
    label.querySelector(".accuracy").textContent = percent(accuracy, 1);
    const chart = document.querySelector(`.st-key-${data.chart} .lottery-plot`);
    if (chart?.data?.length) {
      const last = chart.data.length - 1;
      window.Plotly.restyle(chart, { x: [[100 * sparsity]], y: [[100 * accuracy]] }, [last]);
    }
  };
  range.max = points.length - 1;
  if (!root.lottery) range.value = data.begin;
  root.lottery = true;
  range.oninput = draw;
  range.onchange = () => setStateValue("at", Number(range.value));
  draw();
}
