// One state, "chosen": a level, or null to follow the newest. Playing is a timer here, so that
// the server only ever hears which level is wanted.
const STEP = 900; // milliseconds a level is shown while playing

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".lottery-scrubber");
  if (!root || !data) return;
  const range = root.querySelector("input");
  const play = root.querySelector(".play");
  const follow = root.querySelector(".follow");
  const label = root.querySelector("output");
  root.lottery ??= { chosen: data.chosen ?? null, timer: null };
  const state = root.lottery;
  state.newest = data.newest;

  const draw = () => {
    const level = Math.min(state.chosen ?? state.newest, state.newest);
    range.max = data.last;
    range.value = level;
    range.setAttribute("aria-label", data.what);
    range.setAttribute("aria-valuetext", `${data.what} ${level} of ${data.last}`);
    label.textContent = `${data.what} ${level} of ${data.last}`;
    play.textContent = state.timer ? "Pause" : "Play";
    play.disabled = state.newest === 0;
    follow.hidden = state.chosen === null || !data.active;
  };
  const choose = (level) => {
    state.chosen = level;
    setStateValue("chosen", level);
    draw();
  };
  const pause = () => {
    clearInterval(state.timer);
    state.timer = null;
  };

  range.oninput = () => {
    pause();
    choose(Math.min(Number(range.value), state.newest));
  };
  // From a chart whose points are levels.
  window.removeEventListener("lottery-level", state.open);
  state.open = ({ detail: level }) => {
    pause();
    choose(Math.min(level, state.newest));
  };
  window.addEventListener("lottery-level", state.open);
  follow.onclick = () => {
    pause();
    choose(null);
  };
  play.onclick = () => {
    if (state.timer) {
      pause();
      draw();
      return;
    }
    const shown = state.chosen ?? state.newest;
    state.timer = setInterval(() => {
      const next = state.chosen + 1;
      if (next >= state.newest) pause();
      choose(Math.min(next, state.newest));
    }, STEP);
    choose(shown >= state.newest ? 0 : shown + 1);
  };
  draw();
  return () => {
    pause();
    window.removeEventListener("lottery-level", state.open);
  };
}
