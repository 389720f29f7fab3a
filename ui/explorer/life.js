// Where the mouse rests on a weight, what became of it: asked for once it rests ("at").
const REST = 250; // milliseconds

export default function ({ data, parentElement, setStateValue }) {
  const tip = parentElement.querySelector(".lottery-life");
  if (!tip || !data) return;
  const state = (tip.lottery ??= {});
  state.data = data;
  const hide = () => {
    clearTimeout(state.timer);
    state.place = null;
    tip.hidden = true;
  };
  const show = () => {
    const { at, text } = state.data, { place } = state;
    if (!place || !text || !at || ["layer", "x", "y"].some((name) => at[name] !== place[name])) return false;
    tip.textContent = text;
    tip.hidden = false;
    tip.style.left = `${Math.max(8, Math.min(place.left + 12, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${Math.min(place.top + 24, innerHeight - tip.offsetHeight - 8)}px`;
    return true;
  };
  window.removeEventListener("lottery-weight", state.listen);
  state.listen = ({ detail: place }) => {
    hide();
    if (!place) return;
    state.timer = setTimeout(() => {
      state.place = place;
      const { layer, x, y } = place;
      if (!show()) setStateValue("at", { layer, x, y });
    }, REST);
  };
  window.addEventListener("lottery-weight", state.listen);
  show();
  return () => {
    hide();
    window.removeEventListener("lottery-weight", state.listen);
  };
}
