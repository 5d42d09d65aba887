/** The queries that a browser remembers, the latest first. */

/** How many are kept, and how long one may be: it becomes a link. */
const most = 30;
const longest = 1500;

/**
 * @param {string} stored what was stored, by whatever version
 * @returns {string[]}
 */
export function readList(stored) {
	try {
		const list = JSON.parse(stored);
		return Array.isArray(list) ? list.filter((text) => typeof text === "string" && text.length <= longest).slice(0, most) : [];
	} catch {
		return [];
	}
}

/**
 * @param {string[]} list
 * @param {string} text
 */
export function remember(list, text) {
	return text.length > longest ? list : [text, ...list.filter((other) => other !== text)].slice(0, most);
}
