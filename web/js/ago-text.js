const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

/**
 * How long ago a time was, in the words of the server (Go's format.Ago); empty for
 * no time.
 * @param {number} time in milliseconds
 * @param {number} now
 */
export function ago(time, now) {
	if (Number.isNaN(time)) {
		return "";
	}
	const past = now - time;
	if (past > -second && past < 5 * second) {
		return "just now";
	}
	return past < 0 ? "in " + greatest(-past) : greatest(past) + " ago";
}

/** @param {number} ms */
function greatest(ms) {
	for (const [unit, upTo, name] of [[second, minute, "s"], [minute, hour, "min"], [hour, 2 * day, "h"]]) {
		if (ms < Number(upTo)) {
			return `${Math.floor(ms / Number(unit))} ${name}`;
		}
	}
	return `${Math.floor(ms / day)} days`;
}
