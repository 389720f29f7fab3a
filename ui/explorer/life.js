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
    if (!place || !text || !at || ["layer", "x", "y", "when"].some((name) => at[name] !== place[name])) return;
    tip.textContent = text;
    tip.hidden = false;
    tip.style.left = `${Math.max(8, Math.min(place.left + 12, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${Math.min(place.top + 24, innerHeight - tip.offsetHeight - 8)}px`;
  };
  window.removeEventListener("lottery-weight", state.listen);
  state.listen = ({ detail: place }) => {
    hide();
    if (!place) return;
    state.timer = setTimeout(() => {
      // Asked anew each time: the level that is looked at may be another by now.
      const { layer, x, y } = place;
      const at = { layer, x, y, when: Date.now() };
      state.place = { ...place, ...at };
      setStateValue("at", at);
    }, REST);
  };
  window.addEventListener("lottery-weight", state.listen);
  show();
  return () => {
    hide();
    window.removeEventListener("lottery-weight", state.listen);
  };
}
