/** The data of a time chart: columns of the same length, the times first. */

/**
 * How much longer than usual nothing has to come to be shown as a gap.
 */
const gapFactor = 3;

/**
 * Adds a point and drops those that are older than the span. A long silence
 * before it becomes a gap.
 * @param {(number | null)[][]} columns times in seconds, then the series
 * @param {{ time: number, values: (number | null)[] }} point
 * @param {number} span in seconds
 * @returns {(number | null)[][]} the columns, in new arrays
 */
export function add(columns, point, span) {
	const [times] = columns;
	const last = Number(times[times.length - 1] ?? -Infinity);
	if (point.time <= last) {
		return columns;
	}
	const step = interval(/** @type {number[]} */ (times));
	const silent = step > 0 && point.time - last > gapFactor * step;
	const from = times.findIndex((time) => Number(time) >= point.time - span);
	return columns.map((column, i) => {
		const kept = from < 0 ? [] : column.slice(from);
		if (silent && kept.length > 0) {
			kept.push(i === 0 ? last + step : null);
		}
		kept.push(i === 0 ? point.time : (point.values[i - 1] ?? null));
		return kept;
	});
}

/**
 * The time that usually passes between two points: the median of the newest.
 * @param {number[]} times
 */
function interval(times) {
	const newest = times.slice(-16);
	const steps = newest.slice(1).map((time, i) => time - newest[i]);
	steps.sort((a, b) => a - b);
	return steps[Math.floor(steps.length / 2)] ?? 0;
}

/**
 * The ends of a y axis that starts at zero, unless there is less.
 * @param {number | null} least
 * @param {number | null} most
 * @returns {[number, number]}
 */
export function range(least, most) {
	const low = Math.min(0, least ?? 0);
	const high = Math.max(0, most ?? 0);
	return high === low ? [low, low + 1] : [low * 1.05, high * 1.05];
}
