// One state, "chosen": a level, or null for the one that is wanted at first, if any, or else the
// newest. Playing is a timer here, so that the server only ever hears which level is chosen.
const STEP = 900; // milliseconds a level is shown while playing

const shownBy = ({ chosen, wanted, newest }) => Math.min(chosen ?? wanted ?? newest, newest);

const labels = (data, state) => {
  const level = shownBy(state);
  const said = `${data.what} ${level} of ${data.last}`;
  if (!state.moment) return { level, said, full: said };
  const iteration = Math.round(within(data.spans[level], state.moment.part));
  return { level, said, full: `${said}, iteration ${iteration} of ${data.spans[level][1]}` };
};

const player = (data, state, draw, choose) => {
  const pause = () => {
    clearInterval(state.timer);
    state.timer = null;
  };
  const show = (moment) => {
    const level = state.moment?.level;
    state.moment = moment;
    if (!moment) pause();
    if (moment && moment.level !== level) choose(moment.level);
    else draw();
    drawAll(moment, data.spans);
  };
  const replay = () => {
    if (!state.moment) show({ level: 0, part: 0 });
    let before = performance.now();
    state.timer = setInterval(() => {
      const now = performance.now(), passed = now - before;
      before = now;
      if (!hasArrived(state.moment.level)) return;
      show(later(state.moment, passed, state.speed(), state.newest));
    }, FRAME);
    draw();
  };
  const play = () => {
    const shown = shownBy(state);
    state.timer = setInterval(() => {
      const next = state.chosen + 1;
      if (next >= state.newest) pause();
      choose(Math.min(next, state.newest));
    }, STEP);
    choose(shown >= state.newest ? 0 : shown + 1);
  };
  const end = () => {
    pause();
    if (state.moment) show(null);
  };
  const step = () => {
    pause();
    show(atStep(state.moment, state.newest));
  };
  return { pause, end, step, start: data.spans ? replay : play };
};

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".lottery-scrubber");
  if (!root || !data) return;
  const [range, play, step, speed, follow, label] = [
    "input", ".play", ".step", ".speed", ".follow", "output",
  ].map((name) => root.querySelector(name));
  root.lottery ??= { chosen: data.chosen ?? null, timer: null, moment: null };
  const state = root.lottery;
  state.newest = data.newest;
  state.wanted = data.wanted;
  state.speed = () => Number(speed.value);

  const draw = () => {
    const { level, said, full } = labels(data, state);
    range.max = data.last;
    range.value = level;
    range.setAttribute("aria-label", data.what);
    range.setAttribute("aria-valuetext", said);
    label.textContent = full;
    label.setAttribute("aria-live", state.timer ? "off" : "polite");
    const begin = !data.spans ? "Play" : state.moment ? "Go on" : "Replay";
    play.textContent = state.timer ? "Pause" : begin;
    play.disabled = state.newest === 0 && !data.spans;
    play.classList.toggle("replay", Boolean(data.spans));
    step.hidden = speed.hidden = !data.spans;
    follow.hidden = state.chosen === null || !data.active;
  };
  const choose = (level) => {
    state.chosen = level;
    setStateValue("chosen", level);
    draw();
  };
  const { pause, end, step: onward, start } = player(data, state, draw, choose);
  if (!data.spans) end(); // it trains again

  range.oninput = () => {
    const wanted = Number(range.value); // before it is drawn where the replay is
    end();
    choose(Math.min(wanted, state.newest));
  };
  follow.onclick = () => {
    end();
    choose(null);
  };
  step.onclick = onward;
  play.onclick = () => {
    if (state.timer) {
      pause();
      draw();
    } else start();
  };
  // From a chart whose points are levels.
  const open = ({ detail: level }) => {
    end();
    choose(Math.min(level, state.newest));
  };
  state.deafen?.();
  window.addEventListener("lottery-level", open);
  state.deafen = () => window.removeEventListener("lottery-level", open);
  draw();
  return () => {
    state.deafen();
    end();
  };
}
