// What draws comes with the page (plot.js), perhaps after the first chart.
const plots = (globalThis.lotteryPlots ??= {});
plots.ready ??= new Promise((done) => { plots.done = done; });

export default function (component) {
  let unmount, gone;
  plots.ready.then((show) => { if (!gone) unmount = show(component); });
  return () => {
    gone = true;
    unmount?.();
  };
}
