/**
 * htmx under a strict content security policy, and what it says when a request
 * comes to nothing.
 */
import htmx from "htmx.org";
import "htmx-ext-sse";
import { toast } from "./toast.js";

Object.assign(htmx.config, {
	allowEval: false,
	includeIndicatorStyles: false,
	selfRequestsOnly: true,
	// Pages have the database's data in them; none of it stays in the browser.
	historyCacheSize: 0,
	refreshOnHistoryMiss: true,
	historyRestoreAsHxRequest: false,
	responseHandling: [
		{ code: "204", swap: false },
		{ code: "[23]..", swap: true },
		// The console answers these with a part of a page that says what to do.
		{ code: "[45]..", swap: true, error: true },
	],
});

document.addEventListener("htmx:beforeSwap", (event) => {
	const { xhr } = /** @type {CustomEvent} */ (event).detail;
	const html = xhr.getResponseHeader("Content-Type")?.startsWith("text/html");
	if (xhr.status >= 400 && !html) {
		event.detail.shouldSwap = false;
		toast("danger", `The answer was ${xhr.status} ${xhr.statusText}`.trim() + ". Try again, or look at the log.");
	}
});

for (const failure of ["htmx:sendError", "htmx:timeout"]) {
	document.addEventListener(failure, () => {
		toast("danger", "The server didn't answer. See whether it runs, then try again.");
	});
}

export { htmx };
