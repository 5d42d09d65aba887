/**
 * Time charts: <figure data-chart data-chart-source="#json">, where the JSON is
 * {"unit": "bytes|ms|count|percent", "times": [seconds], "series": [{"name", "values"}]};
 * null is a gap, 100 percent the whole. With data-chart-stream="URL", points come as
 * server-sent events {"time", "values"} named point, or as data-chart-event says;
 * those go that are older than an hour, or than data-chart-span seconds.
 */
import { listen } from "./events.js";
import { clock, writer } from "./figures.js";
import { draw, widthOf } from "./lines.js";
import { add, range } from "./series.js";
import { freshSourceOf, sourceOf } from "./source.js";

/** The shortest time a chart spans, and the longest if the page doesn't say, in seconds. */
const leastSpan = 300;
const mostSpan = 3600;

/** Steps between the marks of an axis of bytes. */
const powersOfTwo = Array.from({ length: 50 }, (_, i) => 2 ** i);

/** @param {HTMLElement} figure */
export function chart(figure) {
	const source = sourceOf(figure.dataset.chartSource);
	if (!source?.series) {
		return () => {};
	}
	let columns = columnsOf(source);
	const span = Number(figure.dataset.chartSpan ?? mostSpan);
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
			x: { time: true, range: (_, oldest, newest) => timeRange(oldest, newest) },
			y: { range: (_, least, most) => range(least, most) },
		},
		fill: true,
		together: "time",
	});
	const stop = live(figure, {
		add: (point) => (columns = add(columns, point, span)),
		replace: (fresh) => (columns = columnsOf(fresh)),
		draw: () => plot.update(columns),
	});
	return () => {
		stop();
		plot.destroy();
	};
}

/**
 * @param {number | null} oldest
 * @param {number | null} newest
 * @returns {[number, number]}
 */
function timeRange(oldest, newest) {
	const end = newest ?? Date.now() / 1000;
	return [Math.min(oldest ?? end, end - leastSpan), end];
}

/**
 * @param {{ times: number[], series: { values: (number | null)[] }[] }} source
 * @returns {(number | null)[][]}
 */
function columnsOf(source) {
	return [source.times, ...source.series.map((s) => s.values)];
}

/**
 * Follows the stream of a chart. It isn't drawn while nobody sees the page.
 * @param {HTMLElement} figure
 * @param {{ add: (point: any) => void, replace: (source: any) => void, draw: () => void }} data
 */
function live(figure, data) {
	const { chartStream, chartEvent = "point", chartSource } = figure.dataset;
	if (!chartStream) {
		return () => {};
	}
	const draw = () => document.hidden || data.draw();
	const stop = listen(chartStream, {
		name: chartEvent,
		heard: (text) => {
			data.add(JSON.parse(text));
			draw();
		},
		missed: async () => {
			const source = await freshSourceOf(chartSource).catch(() => null); // what is shown stays
			if (source?.series) {
				data.replace(source);
				draw();
			}
		},
	});
	document.addEventListener("visibilitychange", draw);
	return () => {
		stop();
		document.removeEventListener("visibilitychange", draw);
	};
}
