/**
 * The JSON in the script block that a selector names; null if there is none.
 * @param {string | undefined} selector
 */
export function sourceOf(selector) {
	const block = selector ? document.querySelector(selector) : null;
	return JSON.parse(block?.textContent || "null");
}
