/**
 * The JSON in the script block that a selector names; null if there is none.
 * @param {string | undefined} selector
 */
export function sourceOf(selector) {
	return read(document, selector);
}

/** @type {Promise<Document> | null} the page as it is being fetched */
let fetching = null;

/**
 * The same JSON as the server has it now: the page is fetched anew, once for all
 * who ask at the same time.
 * @param {string | undefined} selector
 */
export async function freshSourceOf(selector) {
	fetching ??= fetchPage().finally(() => (fetching = null));
	return read(await fetching, selector);
}

async function fetchPage() {
	const answer = await fetch(location.href);
	return new DOMParser().parseFromString(await answer.text(), "text/html");
}

/**
 * @param {Document} page
 * @param {string | undefined} selector
 */
function read(page, selector) {
	const block = selector ? page.querySelector(selector) : null;
	return JSON.parse(block?.textContent || "null");
}
