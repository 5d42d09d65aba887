/** <time data-ago datetime="..."> is kept fresh. */
import { ago } from "./ago-text.js";

const everyMs = 5000;

function refresh() {
	if (document.hidden) {
		return;
	}
	const now = Date.now() - skew;
	for (const element of document.querySelectorAll("time[data-ago]")) {
		const text = ago(Date.parse(element.getAttribute("datetime") ?? ""), now);
		if (text && element.textContent !== text) {
			element.textContent = text;
		}
	}
}

/**
 * How far this clock is ahead of the server's, whose time the page tells in
 * milliseconds: a wrong clock shows no times to come.
 */
const skew = Date.now() - Number(document.documentElement.dataset.now ?? Date.now());

setInterval(refresh, everyMs);
document.addEventListener("visibilitychange", refresh);
