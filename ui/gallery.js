// A button a unit; what is drawn is rebuilt only when the units change.
const SIDE = 56;

// A short address for the pictures: each button would carry its own copy of the long one.
const addressOf = (base64) => {
  const bytes = Uint8Array.from(atob(base64), (sign) => sign.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
};

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".lottery-gallery");
  if (!root || !data) return;
  const { units, inputs, sprite, across } = data;
  root.setAttribute("aria-label", "Units, those with most kept weights first");
  const drawn = JSON.stringify([units, inputs, sprite.length]);

  const mark = (chosen) => root.querySelectorAll("button").forEach((button) => {
    const here = Number(button.dataset.unit) === chosen;
    button.setAttribute("aria-checked", here);
    button.tabIndex = here ? 0 : -1;
  });
  const choose = (button) => {
    const unit = Number(button.dataset.unit);
    mark(unit);
    button.focus();
    setStateValue("chosen", unit);
  };

  if (root.lotteryDrawn !== drawn) {
    root.lotteryDrawn = drawn;
    if (root.lotteryAddress) URL.revokeObjectURL(root.lotteryAddress);
    root.lotteryAddress = sprite ? addressOf(sprite) : "";
    root.replaceChildren(...units.map(([unit, reads, readBy, alive], n) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("role", "radio");
      button.dataset.unit = unit;
      if (!alive) button.className = "dead";
      const words = `Unit ${unit} reads ${reads} of ${inputs}, is read by ${readBy}`;
      button.title = alive ? words : `${words}; dead`;
      button.setAttribute("aria-label", button.title);
      const picture = document.createElement("span");
      if (sprite) {
        picture.className = "picture";
        picture.style.background = `url(${root.lotteryAddress})`;
        picture.style.backgroundSize = `${across * SIDE}px auto`;
        picture.style.backgroundPosition =
          `-${(n % across) * SIDE}px -${Math.floor(n / across) * SIDE}px`;
      } else {
        picture.className = "bar";
        const part = document.createElement("span");
        part.style.width = `${(100 * reads) / inputs}%`;
        picture.append(part);
      }
      const name = document.createElement("b");
      name.textContent = unit;
      button.append(picture, name, `reads ${reads}`);
      return button;
    }));
  }
  root.onclick = (event) => {
    const button = event.target.closest("button");
    if (button) choose(button);
  };
  root.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const buttons = [...root.querySelectorAll("button")];
    const next = buttons[buttons.indexOf(document.activeElement.shadowRoot?.activeElement
      ?? root.getRootNode().activeElement) + step];
    if (step && next) {
      event.preventDefault();
      choose(next);
    }
  };
  mark(data.chosen);
}
