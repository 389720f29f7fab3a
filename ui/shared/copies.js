// Copies in the browser alone: the server never hears of it.
const DONE = 2000; // milliseconds that a button says so

const copy = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // at an address that is neither https nor this machine's own
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
};

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".lottery-copies");
  if (!root || !data) return;
  const said = document.createElement("span");
  said.setAttribute("aria-live", "polite");
  // The link as it is when the button is pressed.
  const entries = [["link", () => location.href]];
  for (const [name, text] of Object.entries(data.texts)) entries.push([name, () => text]);
  root.replaceChildren(...entries.map(([name, text]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `Copy ${name}`;
    button.onclick = async () => {
      await copy(text());
      said.textContent = `${name} copied`;
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = `Copy ${name}`; }, DONE);
    };
    return button;
  }), said);
}
