/**
 * Time charts: <figure data-chart data-chart-source="#json">, where the JSON is
 * {"unit": "bytes|ms|count|percent", "times": [seconds], "series": [{"name", "values"}]};
 * null is a gap, 100 percent the whole. With data-chart-stream="URL", points come as
 * server-sent events {"time", "values"} named point, or as data-chart-event says,
 * and the time that is shown moves on: it stays as long as at first, or as
 * data-chart-span says in seconds.
 */
import { listen } from "./events.js";
import { clock, writer } from "./figures.js";
import { draw, widthOf } from "./lines.js";
import { add, range } from "./series.js";
import { sourceOf } from "./source.js";

/** The shortest time a chart spans, in seconds. */
const leastSpan = 300;

/** Steps between the marks of an axis of bytes. */
const powersOfTwo = Array.from({ length: 50 }, (_, i) => 2 ** i);

/** @param {HTMLElement} figure */
export function chart(figure) {
	const source = sourceOf(figure.dataset.chartSource);
	if (!source?.series) {
		return () => {};
	}
	/** @type {(number | null)[][]} */
	let columns = [source.times, ...source.series.map((/** @type {any} */ s) => s.values)];
	const span = Number(figure.dataset.chartSpan ?? Math.max(leastSpan, source.times.at(-1) - source.times[0] || 0));
	const write = writer(source.unit);
	const plot = draw(figure, {
		kind: "time",
		series: source.series.map((/** @type {any} */ s) => ({ name: s.name, write })),
		columns,
		writeX: (t) => clock(t, 1) + " UTC",
		axes: [
			{ space: 64, size: 26, values: (_, at, _axis, _space, step) => at.map((t) => clock(t, step)) },
			{ space: 36, size: widthOf, values: (_, at) => at.map(write), ...(source.unit === "bytes" ? { incrs: powersOfTwo } : {}) },
		],
		scales: {
			x: { time: true, range: (_, _least, newest) => [(newest ?? Date.now() / 1000) - span, newest ?? Date.now() / 1000] },
			y: { range: (_, least, most) => range(least, most) },
		},
		fill: true,
		together: "time",
	});
	const stop = live(figure, (point) => {
		columns = add(columns, point, span);
		return () => plot.update(columns);
	});
	return () => {
		stop();
		plot.destroy();
	};
}

/**
 * Takes the points of a stream. What draws them waits while nobody sees the page.
 * @param {HTMLElement} figure
 * @param {(point: { time: number, values: (number | null)[] }) => () => void} take
 */
function live(figure, take) {
	const { chartStream, chartEvent = "point" } = figure.dataset;
	if (!chartStream) {
		return () => {};
	}
	let draw = () => {};
	const drawn = () => {
		if (!document.hidden) {
			draw();
			draw = () => {};
		}
	};
	const stop = listen(chartStream, chartEvent, (data) => {
		draw = take(JSON.parse(data));
		drawn();
	});
	document.addEventListener("visibilitychange", drawn);
	return () => {
		stop();
		document.removeEventListener("visibilitychange", drawn);
	};
}
