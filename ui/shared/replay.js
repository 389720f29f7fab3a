// A finished run plays again in the browser: charts that have all of it are drawn as far as it was
// at a moment, that part of a level's training. The server is asked for one level after the other.
const SECONDS = 8; // a level takes at speed 1
const FRAME = 100; // milliseconds

const KINDS = {
  f8: Float64Array, f4: Float32Array, i4: Int32Array, u4: Uint32Array, i2: Int16Array,
  u2: Uint16Array, i1: Int8Array, u1: Uint8Array,
};

// As plotly packs them, or plain.
const numbers = (values) => {
  if (!values?.bdata) return [...(values ?? [])];
  const bytes = Uint8Array.from(atob(values.bdata), (sign) => sign.charCodeAt(0));
  return [...new KINDS[values.dtype](bytes.buffer)];
};

const cut = (trace, keeps) => {
  const x = numbers(trace.x), y = numbers(trace.y);
  const at = x.flatMap((value, i) => (keeps(value) ? [i] : []));
  // A curve that has no point yet is in the legend already.
  if (!at.length) return { ...trace, x: [null], y: [null] };
  return { ...trace, x: at.map((i) => x[i]), y: at.map((i) => y[i]) };
};

// A line of level steps, up to the middle of one.
const cutLine = (trace, end) => {
  const x = numbers(trace.x), y = numbers(trace.y);
  const next = x.findIndex((value) => value >= end);
  return next < 0 ? trace : { ...trace, x: [...x.slice(0, next), end], y: y.slice(0, next + 1) };
};

const within = ([begin, end], part) => begin + part * (end - begin);

// Charts say in `meta` what they show: `levels`, a point each at these x; the training of one
// `level`; or lines over all iterations, where levels have these `ends`.
const cutting = (moment, spans) => (traces, { levels, level, ends }) => {
  const { level: now, part } = moment;
  if (levels) {
    const last = part < 1 ? now - 1 : now;
    const least = last < 0 ? Infinity : Math.sqrt(levels[last] * (levels[last + 1] ?? 0));
    return traces.map((trace) => cut(trace, (x) => x > least));
  }
  if (level !== undefined) {
    const end = level === now ? within(spans[level], part) : -1;
    return traces.map((trace) => (trace.meta === "reference" ? trace : cut(trace, (x) => x <= end)));
  }
  if (ends) {
    const end = within([ends[now - 1] ?? 0, ends[now]], part);
    return traces.map((trace) => cutLine(trace, end));
  }
  return traces;
};

const drawAll = (moment, spans) => {
  window.lotteryCut = moment ? cutting(moment, spans) : undefined;
  for (const node of document.querySelectorAll(".lottery-plot")) {
    const meta = node.layout?.meta;
    if (meta && (meta.levels || meta.level !== undefined || meta.ends)) node.lotteryDraw?.();
  }
};

// Whether the server's answer is there: the chart of a level's training shows that level.
const hasArrived = (level) => [...document.querySelectorAll(".lottery-plot")].some(
  (node) => node.layout?.meta?.level === level,
);

// The moment some milliseconds later, or null after the end.
const later = ({ level, part }, milliseconds, speed, last) => {
  const next = part + (milliseconds * speed) / (1000 * SECONDS);
  if (next < 1) return { level, part: next };
  return level < last ? { level: level + 1, part: 0 } : null;
};

// The end of this level, or of the next one where this is over.
const atStep = (moment, last) => {
  if (!moment) return { level: 0, part: 1 };
  if (moment.part < 1) return { ...moment, part: 1 };
  return moment.level < last ? { level: moment.level + 1, part: 1 } : null;
};
