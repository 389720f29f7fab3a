// A button an entry; what is drawn is rebuilt only when the entries change.
const SIDE = 56;

// A short address for the pictures: each button would carry its own copy of the long one.
const addressOf = (base64) => {
  const bytes = Uint8Array.from(atob(base64), (sign) => sign.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
};

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".lottery-gallery");
  if (!root || !data) return;
  const { label, entries, sprite, across } = data;
  root.setAttribute("aria-label", label);
  const drawn = JSON.stringify([entries, sprite]);

  const mark = (chosen) => root.querySelectorAll("button").forEach((button) => {
    const here = Number(button.dataset.number) === chosen;
    button.setAttribute("aria-checked", here);
    button.tabIndex = here ? 0 : -1;
  });
  const choose = (button) => {
    const number = Number(button.dataset.number);
    mark(number);
    button.focus();
    setStateValue("chosen", number);
  };

  if (root.lotteryDrawn !== drawn) {
    root.lotteryDrawn = drawn;
    const held = root.contains(root.getRootNode().activeElement);
    if (root.lotteryAddress) URL.revokeObjectURL(root.lotteryAddress);
    root.lotteryAddress = sprite ? addressOf(sprite) : "";
    root.replaceChildren(...entries.map(([number, name, note, words, part, dead], n) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("role", "radio");
      button.dataset.number = number;
      if (dead) button.className = "dead";
      button.title = words;
      button.setAttribute("aria-label", words);
      const picture = document.createElement("span");
      if (sprite) {
        picture.className = "picture";
        picture.style.background = `url(${root.lotteryAddress})`;
        picture.style.backgroundSize = `${across * SIDE}px auto`;
        picture.style.backgroundPosition =
          `-${(n % across) * SIDE}px -${Math.floor(n / across) * SIDE}px`;
      } else {
        picture.className = "bar";
        const full = document.createElement("span");
        full.style.width = `${100 * part}%`;
        picture.append(full);
      }
      const title = document.createElement("b");
      title.textContent = name;
      button.append(picture, title, note);
      return button;
    }));
    if (held) root.querySelector(`[data-number="${data.chosen}"]`)?.focus();
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
