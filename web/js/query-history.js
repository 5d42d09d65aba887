/**
 * [data-query-history="query"] lists the queries that this browser has run, as links
 * to that page. They are kept in the browser only, until they are forgotten with the
 * button [data-query-forget].
 */
import { readList, remember } from "./query-list.js";

const storageKey = "themis-queries";

/** @param {HTMLElement} section */
export function queryHistory(section) {
	let list = readList(load());
	if (section.dataset.queryRan) {
		list = remember(list, section.dataset.queryRan);
		save(JSON.stringify(list));
	}
	show(section, list);
	const listeners = new AbortController();
	section.querySelector("[data-query-forget]")?.addEventListener("click", () => {
		save("");
		show(section, []);
	}, { signal: listeners.signal });
	return () => listeners.abort();
}

/**
 * @param {HTMLElement} section
 * @param {string[]} list
 */
function show(section, list) {
	section.hidden = list.length === 0;
	section.querySelector("ul")?.replaceChildren(...list.map((text) => {
		const link = document.createElement("a");
		link.href = `${section.dataset.queryHistory}?${new URLSearchParams({ q: text })}`;
		link.textContent = text.replace(/\s+/g, " ");
		link.title = text;
		link.dir = "auto";
		const item = document.createElement("li");
		item.append(link);
		return item;
	}));
}

// A browser may refuse to store anything.
function load() {
	try {
		return localStorage.getItem(storageKey) ?? "";
	} catch {
		return "";
	}
}

/** @param {string} text */
function save(text) {
	try {
		localStorage.setItem(storageKey, text);
	} catch {
		// Then the list lasts as long as the page.
	}
}
