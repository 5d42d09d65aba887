/**
 * htmx under a strict content security policy, and what pages do when a request
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

/**
 * Where alerts are put, whichever request they answer.
 * @returns {Element | null}
 */
const alerts = () => document.querySelector("#alerts");

/** Polls are what a page asks for by itself, again and again. */
const isPoll = (/** @type {any} */ detail) => detail.elt.getAttribute?.("hx-trigger")?.includes("every ") && !detail.requestConfig.triggeringEvent;

// A page that is left open mustn't keep its reader signed in.
document.addEventListener("htmx:configRequest", (event) => {
	const { detail } = /** @type {CustomEvent} */ (event);
	if (!detail.triggeringEvent?.isTrusted) {
		detail.headers["Themis-Poll"] = "true";
	}
});

document.addEventListener("htmx:beforeRequest", (event) => {
	const { detail } = /** @type {CustomEvent} */ (event);
	if (!isPoll(detail)) {
		alerts()?.replaceChildren();
	} else if (document.hidden) {
		event.preventDefault(); // nobody looks; the next poll comes by itself
	}
});

document.addEventListener("htmx:beforeSwap", (event) => {
	const { detail } = /** @type {CustomEvent} */ (event);
	const { xhr } = detail;
	if (xhr.status < 400) {
		return;
	}
	if (xhr.getResponseHeader("Content-Type")?.startsWith("text/html")) {
		alerts()?.replaceChildren(); // a poll would fill the page
	} else {
		detail.shouldSwap = false;
		toast("danger", `The answer was ${xhr.status} ${xhr.statusText}`.trim() + ". Try again, or look at the log.");
	}
});

document.addEventListener("htmx:afterSwap", (event) => {
	const { detail } = /** @type {CustomEvent} */ (event);
	if (detail.target === alerts() && !isPoll(detail)) {
		detail.target.scrollIntoView({ block: "nearest" });
	}
});

for (const failure of ["htmx:sendError", "htmx:timeout"]) {
	document.addEventListener(failure, (event) => {
		if (!isPoll(/** @type {CustomEvent} */ (event).detail)) {
			toast("danger", "The server didn't answer. See whether it runs, then try again.");
		}
	});
}

export { htmx };
