// A layer's cells, rubbed out stroke by stroke. Strokes of all layers are kept here, each as
// [layer, [first cell, how many beside it, ...]], and sent once one ends.
const SIZES = [1, 3, 9, 27];
const LOW = 240, HIGH = 420; // pixels: a matrix's picture, as wide as there is room
const TALL = 560, CELL = 36; // pixels: kernels, whose cells are squares, and such a cell at most
const THIN = 4, ASPECT = 4; // pixels of a cell that is made wider than tall, and by how much
const GAPS = 8; // pixels of a kernel from which on there are gaps between them
const FAR = 10; // cells that an arrow key with Shift moves by

const runsOf = (cells) => {
  const runs = [];
  for (const cell of cells.sort((one, other) => one - other)) {
    const n = runs.length;
    if (n && runs[n - 2] + runs[n - 1] === cell) runs[n - 1] += 1;
    else runs.push(cell, 1);
  }
  return runs;
};

// Where outputs and inputs are: rectangles of cells, [row, column, rows, columns]. A kernel has
// `tall` rows and `wide` columns; `strips` outputs stand beside each other.
const layoutOf = ({ rows, columns, side: [tall, wide], strips, inputs, outputs, block, words }) => {
  const kernelAt = (row, column) => {
    const across = Math.floor(column / wide);
    const output = Math.floor(row / tall) * strips + Math.floor(across / inputs);
    return [output, across % inputs];
  };
  const cut = (row, column, size) => {
    const half = (size - 1) / 2;
    const top = Math.max(0, row - half), left = Math.max(0, column - half);
    const bottom = Math.min(rows, row + half + 1), right = Math.min(columns, column + half + 1);
    return [top, left, bottom - top, right - left];
  };
  const whole = ([top, left, height, width], which) => {
    const found = new Map();
    for (let row = top; row < top + height; row += 1) {
      for (let column = left; column < left + width; column += 1) {
        const number = kernelAt(row, column)[which];
        if (found.has(number) || kernelAt(row, column)[0] >= outputs) continue;
        found.set(number, which === 0
          ? [[Math.floor(number / strips) * tall, (number % strips) * inputs * wide, tall, inputs * wide]]
          : Array.from({ length: strips }, (_, strip) => [0, (strip * inputs + number) * wide, rows, wide]));
      }
    }
    return [...found.values()].flat();
  };
  const named = (number, word) => (
    block > 1 ? `${word}s ${number * block} to ${(number + 1) * block - 1}` : `${word} ${number}`
  );
  return {
    // What a rubber of that size takes there; `mode` 0 are cells, 1 whole outputs, 2 whole inputs.
    taken: (row, column, size, mode) => {
      const cells = cut(row, column, size);
      return mode ? whole(cells, mode - 1) : [cells];
    },
    inWords: (row, column) => (
      kernelAt(row, column).map((number, n) => named(number, words[n])).join(", ")
    ),
  };
};

const buttons = (group, texts, chosen, choose) => {
  const found = [...group.querySelectorAll("button")];
  while (found.length < texts.length) {
    const button = document.createElement("button");
    button.type = "button";
    group.append(button);
    found.push(button);
  }
  found.forEach((button, n) => {
    button.textContent = texts[n];
    button.setAttribute("aria-pressed", n === chosen);
    button.onclick = () => {
      choose(n);
      found.forEach((other, i) => other.setAttribute("aria-pressed", i === n));
    };
  });
};

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".lottery-rubber");
  if (!root || !data) return;
  const { rows, columns, side: [tall, wide], layer, names } = data;
  const canvas = root.querySelector("canvas"), told = root.querySelector("output");
  const [modes, sizes, commands] = root.querySelectorAll(".tools > div");
  const [undo, over] = commands.querySelectorAll("button");
  const layout = layoutOf(data);
  // The cells as they are drawn; `there` are those that hold a weight, `gone` those rubbed out.
  const state = (root.lottery ??= {
    strokes: data.begin, mode: 0, chosenSize: null, sheet: document.createElement("canvas"),
  });

  const paper = () => getComputedStyle(root).getPropertyValue("--st-background-color").trim();
  const measure = () => {
    const room = root.clientWidth, kernels = tall * wide > 1;
    if (!kernels) return [room, Math.min(HIGH, Math.max(LOW, (room * rows) / columns))];
    const high = Math.min(TALL / rows, room / columns, CELL);
    const broad = Math.min(room / columns, Math.max(high, Math.min(THIN, ASPECT * high)));
    return [broad * columns, high * rows];
  };
  const draw = () => {
    if (!state.ready || !root.clientWidth) return;
    const [width, height] = measure(), dots = window.devicePixelRatio || 1;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    canvas.width = Math.round(width * dots);
    canvas.height = Math.round(height * dots);
    const pen = canvas.getContext("2d");
    const x = canvas.width / columns, y = canvas.height / rows;
    pen.fillStyle = data.pruned;
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.imageSmoothingEnabled = x < 1 || y < 1;
    pen.drawImage(state.sheet, 0, 0, canvas.width, canvas.height);
    pen.fillStyle = paper();
    const across = data.strips * data.inputs;
    if (tall * wide > 1) { // gaps between kernels
      const gap = dots * (Math.max(across, rows / tall) <= 32 ? 2 : 1);
      const down = tall * y < GAPS * dots ? 0 : rows / tall;
      const right = wide * x < GAPS * dots ? 0 : across;
      for (let n = 1; n < right; n += 1) pen.fillRect(n * wide * x - gap / 2, 0, gap, canvas.height);
      for (let n = 1; n < down; n += 1) pen.fillRect(0, n * tall * y - gap / 2, canvas.width, gap);
    }
    const full = data.outputs % data.strips; // outputs of the last row, where it is not full
    if (full) pen.fillRect(full * data.inputs * wide * x, (rows - tall) * y, canvas.width, tall * y + 1);
    if (!state.over) return;
    pen.lineWidth = 2 * dots;
    for (const colour of ["#000", "#fff"]) {
      pen.strokeStyle = colour;
      pen.setLineDash(colour === "#fff" ? [4 * dots, 4 * dots] : []);
      for (const [top, left, high, broad] of layout.taken(...state.over, state.size, state.mode)) {
        pen.strokeRect(left * x, top * y, Math.max(broad * x, 2 * dots), Math.max(high * y, 2 * dots));
      }
    }
  };
  const soon = () => {
    state.frame ??= requestAnimationFrame(() => {
      state.frame = null;
      state.draw();
    });
  };
  const say = (text) => { told.textContent = text; };
  const where = () => {
    const [row, column] = state.over;
    const cell = row * columns + column;
    const what = state.gone[cell] ? ": rubbed out" : state.there[cell] ? "" : ": pruned before";
    say(layout.inWords(row, column) + what);
  };

  const erase = (pen, cell) => {
    state.gone[cell] = 1;
    pen.fillRect(cell % columns, Math.floor(cell / columns), 1, 1);
  };
  const pen = () => {
    const found = state.sheet.getContext("2d", { willReadFrequently: true });
    found.fillStyle = data.rubbed;
    return found;
  };
  const rub = (row, column) => {
    const on = pen();
    for (const [top, left, high, broad] of layout.taken(row, column, state.size, state.mode)) {
      for (let i = top; i < top + high; i += 1) {
        for (let cell = i * columns + left; cell < i * columns + left + broad; cell += 1) {
          if (!state.there[cell] || state.gone[cell]) continue;
          erase(on, cell);
          state.stroke.push(cell);
        }
      }
    }
  };
  const begin = () => { state.stroke = []; };
  const end = () => {
    const cells = state.stroke;
    state.stroke = null;
    if (!cells?.length) return;
    state.strokes = [...state.strokes, [layer, runsOf(cells)]];
    send();
  };
  const mark = () => {
    const last = state.strokes.at(-1);
    undo.disabled = over.disabled = !last;
    undo.textContent = last && last[0] !== layer ? `Undo (${names[last[0]]})` : "Undo";
  };
  const send = () => {
    mark();
    setStateValue("strokes", state.strokes);
  };
  // The picture as it was, and what the strokes took of it.
  const restore = () => {
    const on = pen();
    on.clearRect(0, 0, columns, rows);
    on.drawImage(state.image, 0, 0);
    state.gone.fill(0);
    for (const [of, runs] of state.strokes) {
      if (of !== layer) continue;
      for (let n = 0; n < runs.length; n += 2) {
        for (let i = 0; i < runs[n + 1]; i += 1) erase(on, runs[n] + i);
      }
    }
    soon();
  };
  const show = async () => {
    state.picture = data.picture;
    state.ready = false;
    const image = new Image();
    image.src = `data:image/png;base64,${data.picture}`;
    await image.decode();
    if (state.picture !== data.picture) return; // another layer has come meanwhile
    state.image = image;
    Object.assign(state.sheet, { width: columns, height: rows });
    const on = state.sheet.getContext("2d", { willReadFrequently: true });
    on.drawImage(image, 0, 0);
    const { data: pixels } = on.getImageData(0, 0, columns, rows);
    state.there = Uint8Array.from({ length: rows * columns }, (_, cell) => pixels[4 * cell + 3] && 1);
    state.gone = new Uint8Array(rows * columns);
    state.over = state.stroke = null;
    state.ready = true;
    say("");
    restore();
  };

  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    const within = (part, count) => Math.min(count - 1, Math.max(0, Math.floor(part * count)));
    return [
      within((event.clientY - box.top) / box.height, rows),
      within((event.clientX - box.left) / box.width, columns),
    ];
  };
  const isFull = () => {
    if (state.strokes.length < data.most) return false;
    say(`${data.most} strokes are all there is room for: undo some, or start over`);
    return true;
  };
  canvas.onpointerdown = (event) => {
    if (event.button || !state.ready || isFull()) return;
    event.preventDefault();
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    begin();
    state.over = at(event);
    rub(...state.over);
    soon();
  };
  canvas.onpointermove = (event) => {
    if (!state.ready) return;
    // All that happened since the last frame, and the cells between: a quick stroke has no holes.
    for (const step of state.stroke ? event.getCoalescedEvents?.() ?? [event] : []) {
      const from = state.over, to = at(step);
      const far = Math.max(...to.map((end, n) => Math.abs(end - from[n])));
      const count = Math.ceil(far / Math.max(1, (state.size - 1) / 2));
      for (let n = 1; n <= count; n += 1) {
        rub(...to.map((end, axis) => Math.round(from[axis] + ((end - from[axis]) * n) / count)));
      }
      state.over = to;
    }
    state.over = at(event);
    where();
    soon();
  };
  canvas.onpointerup = canvas.onpointercancel = () => {
    end();
    soon();
  };
  canvas.onpointerleave = canvas.onblur = () => {
    if (state.stroke) return;
    state.over = null;
    if (state.ready) say("");
    soon();
  };
  const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  canvas.onkeydown = (event) => {
    if (!state.ready) return;
    const move = MOVES[event.key], rubs = event.key === " " || event.key === "Enter";
    const undoes = event.key === "z" && (event.ctrlKey || event.metaKey);
    if (!move && !rubs && !undoes) return;
    event.preventDefault();
    event.stopPropagation();
    state.over ??= [Math.floor(rows / 2), Math.floor(columns / 2)];
    if (move) {
      const by = event.shiftKey ? FAR : 1, most = [rows - 1, columns - 1];
      state.over = state.over.map((i, n) => Math.min(most[n], Math.max(0, i + by * move[n])));
    } else if (undoes) {
      undo.onclick();
    } else if (!isFull()) {
      begin();
      rub(...state.over);
      end();
    }
    if (state.strokes.length < data.most) where();
    soon();
  };
  undo.onclick = () => {
    if (!state.strokes.length) return;
    state.strokes = state.strokes.slice(0, -1);
    restore();
    send();
  };
  over.onclick = () => {
    state.strokes = [];
    restore();
    send();
  };

  const usual = SIZES.findLast((size) => size === 1 || 60 * size <= Math.max(rows, columns));
  state.size = state.chosenSize ?? usual;
  state.draw = draw;
  canvas.setAttribute("aria-label", data.label);
  buttons(modes, data.modes, state.mode, (n) => { state.mode = n; });
  buttons(sizes, SIZES, SIZES.indexOf(state.size), (n) => {
    state.size = state.chosenSize = SIZES[n];
  });
  const [low, high] = root.querySelectorAll(".foot b");
  [low.textContent, high.textContent] = data.ends;
  root.querySelector(".scale").style.background = `linear-gradient(90deg, ${data.colours.join()})`;
  root.querySelector(".rubbed").style.background = data.rubbed;
  root.querySelector(".pruned").style.background = data.pruned;
  mark();
  if (state.picture !== data.picture) show();
  else soon();
  const observer = new ResizeObserver(soon);
  observer.observe(root);
  return () => observer.disconnect();
}
