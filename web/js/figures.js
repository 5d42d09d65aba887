/** Figures as the server writes them (Go's console/format). */

/** @param {number} x */
export function number(x) {
	const size = Math.abs(x);
	if (!Number.isFinite(x)) {
		return "–";
	}
	if (size >= 99.95) {
		return count(x);
	}
	if (size >= 9.995) {
		return String(Number(x.toFixed(1)));
	}
	if (size >= 0.9995 || size === 0) {
		return String(Number(x.toFixed(2)));
	}
	return String(Number(x.toPrecision(3)));
}

/** @param {number} x */
export function count(x) {
	return String(Math.round(x)).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** @param {number} n */
export function bytes(n) {
	const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
	let unit = 0;
	while (Math.abs(n) >= 1023.95 && unit < units.length - 1) {
		n /= 1024;
		unit++;
	}
	return `${unit === 0 ? Math.round(n) : number(n)} ${units[unit]}`;
}

/** @param {number} ms */
export function millis(ms) {
	if (ms >= 999.5) {
		return number(ms / 1000) + " s";
	}
	return ms > 0 && ms < 0.1 ? number(ms * 1000) + " µs" : number(ms) + " ms";
}

/** @type {Record<string, (x: number) => string>} */
const units = {
	bytes,
	ms: millis,
	count: number,
	percent: (x) => number(x) + " %",
	share: (x) => number(100 * x) + " %",
};

/**
 * Writes values of a unit; a gap is a dash.
 * @param {string | undefined} unit
 * @returns {(x: number | null | undefined) => string}
 */
export function writer(unit) {
	const write = units[unit ?? ""] ?? number;
	return (x) => (x === null || x === undefined ? "–" : write(x));
}

/**
 * A time of the day in UTC, as logs have it; with seconds if the step between two
 * times is less than a minute, as a date if it is a day.
 * @param {number} time in seconds
 * @param {number} step in seconds
 */
export function clock(time, step) {
	const text = new Date(time * 1000).toISOString();
	if (step >= 86400) {
		return text.slice(0, 10);
	}
	return step < 60 ? text.slice(11, 19) : text.slice(11, 16);
}
