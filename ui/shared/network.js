// A network as a picture: a box a layer with the connections into it. What is chosen is kept as
// "chosen": the number of a layer and one of its units, or null for none.
const MANY = 9; // layers whose names stand above what they keep
const LINES = 24; // between two layers while all weights live

const make = (name, className) => {
  const element = document.createElement(name);
  element.className = className;
  return element;
};

// Where lines begin and end is drawn once, the same every time.
const places = Array.from({ length: LINES }, (_, i) => [(i * 5) % LINES, (i * 11 + 3) % LINES]);
const lines = () => {
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  picture.setAttribute("viewBox", `0 0 10 ${LINES}`);
  picture.setAttribute("preserveAspectRatio", "none");
  picture.setAttribute("aria-hidden", "true");
  for (const [from, to] of places) {
    const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
    for (const [key, value] of Object.entries({ x1: 0, x2: 10, y1: from + 0.5, y2: to + 0.5 })) {
      line.setAttribute(key, value);
    }
    picture.append(line);
  }
  return picture;
};

const build = (row, layers) => row.replaceChildren(...layers.map(({ name, tall, colour }) => {
  const place = make("div", "layer"), button = make("button", ""), area = make("span", "area");
  const box = make("span", "box"), full = make("span", "full"), text = make("span", "name");
  button.type = "button";
  box.style.height = `${100 * tall}%`;
  full.style.background = colour;
  box.append(full);
  area.append(lines(), box);
  text.append(make("b", ""), make("span", "part"));
  text.firstChild.textContent = name;
  button.append(area, text);
  place.append(button);
  return place;
}));

const update = (row, layers) => layers.forEach(({ words, density, part }, n) => {
  const button = row.children[n].firstChild;
  button.setAttribute("aria-label", words);
  button.title = words;
  button.querySelector(".full").style.height = `${100 * density}%`;
  button.querySelector(".part").textContent = part;
  const alive = density ? Math.max(1, Math.round(LINES * density)) : 0;
  button.querySelectorAll("line").forEach((line, i) => line.classList.toggle("dead", i >= alive));
});

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".lottery-network");
  if (!root || !data) return;
  const { layers, always } = data;
  const row = root.querySelector(".layers"), detail = root.querySelector(".detail");
  const number = detail.querySelector("input"), back = detail.querySelector("button");
  row.setAttribute("aria-label", data.label);
  row.classList.toggle("many", layers.length > MANY);
  const names = JSON.stringify(layers.map(({ name, tall }) => [name, tall]));
  if (root.lotteryNames !== names) {
    root.lotteryNames = names;
    build(row, layers);
  }
  update(row, layers);
  root.lotteryChosen ??= data.chosen;

  const mark = () => {
    const chosen = root.lotteryChosen;
    [...row.children].forEach(({ firstChild: button }, n) => (
      button.setAttribute("aria-pressed", chosen?.layer === n)
    ));
    detail.hidden = !chosen || !data.units;
    back.hidden = always;
    if (!chosen || root.getRootNode().activeElement === number) return;
    const { word, units } = layers[chosen.layer];
    detail.querySelector("span").textContent = `What a ${word} of ${layers[chosen.layer].name} reads: 0 to ${units - 1}`;
    number.max = units - 1;
    number.value = chosen.unit ?? "";
  };
  const choose = (chosen) => {
    root.lotteryChosen = chosen;
    setStateValue("chosen", chosen);
    mark();
  };
  row.onclick = (event) => {
    const place = event.target.closest(".layer");
    if (!place) return;
    const layer = [...row.children].indexOf(place);
    choose(!always && root.lotteryChosen?.layer === layer ? null : { layer, unit: null });
  };
  back.onclick = () => choose(null);
  number.onchange = () => {
    const { layer } = root.lotteryChosen;
    const unit = Math.round(Number(number.value));
    const known = number.value !== "" && unit >= 0 && unit < layers[layer].units;
    choose({ layer, unit: known ? unit : null });
  };
  // From a chart whose rows are units (plot.js).
  window.removeEventListener("lottery-unit", root.lotteryOpen);
  root.lotteryOpen = ({ detail: { layer, unit } }) => choose({ layer, unit });
  if (data.units) window.addEventListener("lottery-unit", root.lotteryOpen);
  mark();
  return () => window.removeEventListener("lottery-unit", root.lotteryOpen);
}
