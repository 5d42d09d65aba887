/** Ties widgets to elements that come and go with htmx. */

/** @type {WeakMap<Element, Set<string>>} what is tied to an element already */
const tied = new WeakMap();

/** @type {WeakMap<Element, (() => void)[]>} what undoes it */
const undo = new WeakMap();

/**
 * Finds the elements of a part of the page and makes widgets of them.
 * @param {Element} part
 * @param {string} selector
 * @param {() => Promise<(element: HTMLElement) => (() => void)>} load
 */
export function attach(part, selector, load) {
	const found = [...part.querySelectorAll(selector)];
	if (part.matches(selector)) {
		found.unshift(part);
	}
	for (const element of found) {
		const names = tied.get(element) ?? new Set();
		if (!names.has(selector)) {
			tied.set(element, names.add(selector));
			make(/** @type {HTMLElement} */ (element), load);
		}
	}
}

/**
 * @param {HTMLElement} element
 * @param {() => Promise<(element: HTMLElement) => (() => void)>} load
 */
async function make(element, load) {
	const widget = await load();
	if (element.isConnected) {
		undo.set(element, [...(undo.get(element) ?? []), widget(element)]);
	}
}

document.addEventListener("htmx:beforeCleanupElement", (event) => {
	const element = /** @type {Element} */ (event.target);
	for (const step of undo.get(element) ?? []) {
		step();
	}
	undo.delete(element);
});
