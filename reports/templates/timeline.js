/* Telemetry over time, drawn by uPlot when it comes into view or is printed; the table below it says the same in short. */
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const words = JSON.parse(document.querySelector("main").dataset.words);
  const print = matchMedia("print"), dark = matchMedia("(prefers-color-scheme: dark)"), PAPER = 660, HEIGHT = 130;
  const drawn = new Map();      // the charts of each place
  const EMPTY = -32768, DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 5], [12, 3, 2, 3, 2, 3], [1, 4], [14, 5]];
  const decoded = ({data, offset, scale}) => {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0)), view = new DataView(bytes.buffer);
    return Array.from({length: bytes.length / 2}, (_, index) => {
      const step = view.getInt16(2 * index, true);
      return step === EMPTY ? null : offset + scale * step;
    });
  };
  const draw = (place) => {
    watcher.unobserve(place);
    for (const chart of drawn.get(place) ?? []) chart.destroy();
    drawn.set(place, []);
    const timeline = JSON.parse(place.querySelector("script").textContent);
    const style = getComputedStyle(place), color = (name) => style.getPropertyValue(`--${name}`).trim();
    const shade = (chart) => {
      const {left, top, height} = chart.bbox, painter = chart.ctx;
      painter.save();
      for (const span of timeline.spans) {
        const from = Math.max(chart.valToPos(span.begin, "x", true), left);
        const to = Math.min(chart.valToPos(span.end, "x", true), left + chart.bbox.width);
        if (to < left || from > left + chart.bbox.width) continue;
        painter.fillStyle = color(span.trouble ? "doubt" : "region");
        if (span.trouble) painter.fillRect(from, top, Math.max(to - from, 2), 6 * devicePixelRatio);
        else painter.fillRect(from, top, to - from, height);
      }
      painter.restore();
    };
    for (const [index, panel] of timeline.panels.entries()) {
      const box = place.querySelectorAll(".panel")[index];
      const traces = panel.traces.map(decoded), axis = {stroke: color("text"), grid: {stroke: color("line"), width: 1}, ticks: {stroke: color("line")}};
      const chart = new uPlot({
        width: width(box), height: HEIGHT, cursor: {sync: {key: place.id}}, hooks: {drawClear: [shade]},
        scales: {x: {time: false}, y: {range: (_, low, high) => uPlot.rangeNum(panel.zero ? Math.min(low, 0) : low, high, 0.1, true)}},
        axes: [{...axis, size: 30}, {...axis, size: 62}],
        series: [{label: words.seconds, value: (_, at) => at === null ? "–" : at.toFixed(2)}, ...panel.traces.map((trace, each) => ({
          label: trace.label, stroke: color(`c${each % 8 + 1}`), width: 1.5, dash: DASHES[each % DASHES.length], spanGaps: true,
          points: {show: false}, value: (_, value) => value === null ? "–" : `${+value.toPrecision(4)} ${panel.unit}`,
        }))],
      }, [traces[0].map((_, at) => at * panel.step), ...traces], box);
      chart.setScale("x", {min: timeline.begin, max: timeline.duration});      // two clicks show all
      drawn.get(place).push(chart);
    }
    place.dataset.drawn = "";
  };
  const places = [...document.querySelectorAll(".timeline")];
  const watcher = new IntersectionObserver((seen) => {
    for (const each of seen) if (each.isIntersecting) draw(each.target);
  }, {rootMargin: "400px"});
  places.forEach((place) => watcher.observe(place));
  const width = (box) => print.matches ? Math.min(box.clientWidth, PAPER) : box.clientWidth;
  addEventListener("resize", () => {
    for (const chart of [...drawn.values()].flat()) chart.setSize({width: width(chart.root.parentElement), height: HEIGHT});
  });
  const redraw = (which) => which.forEach((place) => draw(place));
  dark.addEventListener("change", () => redraw([...drawn.keys()]));
  print.addEventListener("change", () => redraw(print.matches ? places : [...drawn.keys()]));
});
