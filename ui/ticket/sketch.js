// Strokes are sent once they end, as one byte of ink a pixel in base64: the page then answers.
const PEN = 0.07; // of the canvas, about as thick as MNIST's strokes are to their box
const WAIT = 120; // milliseconds after a stroke: a second one may follow at once

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".lottery-sketch");
  if (!root || !data) return;
  const canvas = root.querySelector("canvas");
  const side = data.side;
  if (canvas.width !== 2 * side) canvas.width = canvas.height = 2 * side;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  root.lottery ??= { at: null, timer: null };
  const state = root.lottery;

  const send = () => {
    const small = document.createElement("canvas");
    small.width = small.height = side;
    const copy = small.getContext("2d");
    copy.drawImage(canvas, 0, 0, side, side);
    const { data: pixels } = copy.getImageData(0, 0, side, side);
    let ink = "";
    for (let i = 3; i < pixels.length; i += 4) ink += String.fromCharCode(pixels[i]);
    setStateValue("ink", btoa(ink));
  };
  const point = (event) => {
    const box = canvas.getBoundingClientRect();
    const scale = canvas.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  };
  const stroke = (from, to) => {
    pen.strokeStyle = "#fff";
    pen.lineWidth = PEN * canvas.width;
    pen.lineCap = pen.lineJoin = "round";
    pen.beginPath();
    pen.moveTo(...from);
    pen.lineTo(...to);
    pen.stroke();
  };

  canvas.onpointerdown = (event) => {
    if (event.button) return;
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    clearTimeout(state.timer);
    state.at = point(event);
    stroke(state.at, state.at); // a dot, if it stays one
  };
  canvas.onpointermove = (event) => {
    if (!state.at) return;
    // All that happened since the last frame: a quick stroke stays round.
    for (const step of event.getCoalescedEvents?.() ?? [event]) {
      const next = point(step);
      stroke(state.at, next);
      state.at = next;
    }
  };
  canvas.onpointerup = canvas.onpointercancel = () => {
    if (!state.at) return;
    state.at = null;
    clearTimeout(state.timer);
    state.timer = setTimeout(send, WAIT);
  };
  root.querySelector("button").onclick = () => {
    clearTimeout(state.timer);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    setStateValue("ink", null);
  };
  return () => clearTimeout(state.timer);
}
