/** Line plots by uPlot, with a legend that tells values, for charts and curves. */
import uPlot from "uplot";
import { dashOf, legend, palette, stage, steer, watch } from "./plot.js";

const height = 176;

/**
 * @typedef {object} Lines
 * @property {string} kind names the class of the plot
 * @property {{ name: string, write: (x: number | null) => string, scale?: string }[]} series
 * @property {(number | null)[][]} columns x, then the series
 * @property {(x: number) => string} writeX for the readout
 * @property {uPlot.Axis[]} axes without their colours
 * @property {uPlot.Scales} scales
 * @property {number} [margin] room on the right, for half of the last mark
 * @property {boolean} [fill] below a single line
 * @property {boolean} [points] at every value
 * @property {string} [together] plots of the same name share their cursor
 */

/**
 * Draws lines into a figure.
 * @param {HTMLElement} figure
 * @param {Lines} lines
 */
export function draw(figure, lines) {
	const { place, leave } = stage(figure, lines.kind);
	let { columns } = lines;
	let colours = palette();

	const keys = legend(lines.series.map((s) => s.name), (i, shown) => plot.setSeries(i + 1, { show: shown }));
	const readout = document.createElement("li");
	readout.className = "plot-x muted";
	keys.element.append(readout);
	/** Tells the values at the cursor, or else the newest. */
	const tell = () => {
		const under = plot.cursor.idx ?? null;
		const at = under ?? columns[0].length - 1;
		readout.textContent = under === null ? "" : lines.writeX(Number(columns[0][under]));
		keys.show((i) => lines.series[i].write(columns[i + 1][at] ?? null));
	};

	const plot = new uPlot({
		width: place.clientWidth,
		height,
		padding: [8, lines.margin ?? 20, 0, 0],
		legend: { show: false },
		cursor: {
			y: false,
			drag: { x: false, y: false },
			points: { size: 7 },
			...(lines.together ? { sync: { key: lines.together } } : {}),
		},
		scales: lines.scales,
		tzDate: (time) => uPlot.tzDate(new Date(time * 1000), "Etc/UTC"),
		axes: lines.axes.map((axis, i) => ({
			font: colours.font,
			stroke: () => colours.muted,
			ticks: { show: false },
			grid: { show: i < 2, stroke: () => colours.grid, width: 1 },
			...axis,
		})),
		series: [{}, ...lines.series.map((s, i) => ({
			label: s.name,
			scale: s.scale ?? "y",
			stroke: () => colours.series(i),
			fill: lines.fill && lines.series.length === 1 ? () => faint(colours.series(i)) : undefined,
			width: 1.5,
			dash: dashOf(i),
			points: lines.points
				? { show: true, size: 6, fill: () => colours.surface }
				: { filter: alone, size: 4, fill: () => colours.series(i) },
		}))],
		hooks: { setCursor: [tell] },
	}, /** @type {any} */ (columns), place);
	place.prepend(keys.element);
	tell();

	steer(place, () => ({ index: plot.cursor.idx ?? null, count: columns[0].length }), (index) => {
		keys.element.setAttribute("aria-live", index === null ? "off" : "polite");
		const left = index === null ? -10 : plot.valToPos(Number(columns[0][index]), "x");
		plot.setCursor({ left, top: index === null ? -10 : 1 });
	});
	const unwatch = watch(place, {
		resized: (width) => plot.setSize({ width, height }),
		recoloured: () => {
			colours = palette();
			plot.redraw();
		},
	});
	return {
		/** @param {(number | null)[][]} next */
		update: (next) => {
			columns = next;
			plot.setData(/** @type {any} */ (columns));
			tell();
		},
		destroy: () => {
			unwatch();
			plot.destroy();
			leave();
		},
	};
}

/**
 * The points without neighbours, which no line shows.
 * @param {uPlot} plot
 * @param {number} i
 */
function alone(plot, i) {
	const values = plot.data[i];
	const missing = (/** @type {number} */ at) => (values[at] ?? null) === null;
	return Array.from(values.keys()).filter((at) => !missing(at) && missing(at - 1) && missing(at + 1));
}

/**
 * The width of an upright axis: that of its longest mark.
 * @param {uPlot} _
 * @param {string[]} marks
 */
export function widthOf(_, marks) {
	return 16 + 7 * Math.max(3, ...(marks ?? []).map((mark) => mark.length));
}

/**
 * A colour for an area.
 * @param {string} colour as browsers resolve it
 */
function faint(colour) {
	return colour.replace("rgb(", "rgba(").replace(")", ", 0.1)");
}
