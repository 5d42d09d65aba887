/**
 * Curves: <figure data-curve data-curve-source="#json">, where the JSON is
 * {"x": "ef", "xs": [...], "series": [{"name", "unit", "values"}]}. The first unit
 * has its axis on the left, others share one on the right. With "marks", xs are
 * places in a list of names; with "log" the axis on the left is logarithmic.
 */
import { number, writer } from "./figures.js";
import { draw, widthOf } from "./lines.js";
import { range } from "./series.js";
import { sourceOf } from "./source.js";

/** @param {HTMLElement} figure */
export function curve(figure) {
	const source = sourceOf(figure.dataset.curveSource);
	if (!source?.series?.length) {
		return () => {};
	}
	const left = source.series[0].unit;
	const right = source.series.find((/** @type {any} */ s) => s.unit !== left)?.unit;
	/** @type {(_: any, least: number | null, most: number | null) => [number, number]} */
	const fromZero = (_, least, most) => range(least, most);
	/** @type {string[] | undefined} */
	const marks = source.marks;
	const writeX = marks ? (/** @type {number} */ x) => marks[x] ?? "" : number;
	const steps = marks ? { space: 104, incrs: [1, 2, 4, 8] } : { space: 48 };
	/** @type {any[]} */
	const axes = [
		{ ...steps, size: 30, values: (/** @type {any} */ _, /** @type {number[]} */ at) => at.map(writeX), label: source.x, labelSize: 20, labelFont: "12px sans-serif" },
		{ space: 36, size: widthOf, values: (/** @type {any} */ _, /** @type {(number | null)[]} */ at) => at.map((y) => (y === null ? "" : writer(left)(y))), ...(source.log ? { splits: decades } : {}) },
	];
	if (right !== undefined) {
		axes.push({ scale: "right", side: 1, space: 36, size: widthOf, values: (/** @type {any} */ _, /** @type {number[]} */ at) => at.map(writer(right)) });
	}
	const plot = draw(figure, {
		kind: "curve",
		series: source.series.map((/** @type {any} */ s) => ({ name: s.name, write: writer(s.unit), scale: s.unit === left ? "y" : "right" })),
		columns: [source.xs, ...source.series.map((/** @type {any} */ s) => s.values)],
		writeX: (x) => (marks ? writeX(x) : `${source.x} ${number(x)}`),
		axes,
		scales: { x: { time: false }, y: source.log ? { distr: 3 } : { range: closeUp(left) ?? fromZero }, right: { range: fromZero } },
		points: true,
		margin: marks ? 36 : undefined,
	});
	return plot.destroy;
}

/**
 * The powers of ten on a logarithmic axis.
 * @param {any} _
 * @param {number} __
 * @param {number} least
 * @param {number} most
 */
function decades(_, __, least, most) {
	const first = Math.ceil(Math.log10(least) - 1e-9);
	const count = Math.max(0, Math.floor(Math.log10(most) + 1e-9) - first + 1);
	return Array.from({ length: count }, (_, i) => 10 ** (first + i));
}

/**
 * Shares of one, such as recall, are told apart near the top: their axis needn't
 * begin at zero.
 * @param {string | undefined} unit
 * @returns {((_: any, least: number | null, most: number | null) => [number, number]) | undefined}
 */
function closeUp(unit) {
	if (unit !== "percent" && unit !== "share") {
		return undefined;
	}
	const whole = unit === "percent" ? 100 : 1;
	return (_, least, most) => {
		const low = least ?? 0;
		const high = Math.max(most ?? whole, low);
		const room = Math.max((high - low) * 0.1, whole * 0.01);
		return [Math.max(0, low - room), Math.min(whole * 1.02, high + room)];
	};
}
