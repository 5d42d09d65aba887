/**
 * Live tails. Within [data-tail] stand
 *
 *   [data-tail-rows]    the list, which htmx adds to (sse-swap, hx-swap beforeend or afterbegin)
 *   [data-tail-pause]   a button: what comes while paused waits, up to the same limit
 *   [data-tail-clear]   a button
 *   [data-tail-follow]  a checkbox: the end stays in view; scrolling away clears it
 *   [data-tail-view]    what scrolls, if it isn't the list itself
 *   [data-tail-state]   is told live, paused or lost, in words and as data-state
 *
 * data-tail-max is how many rows stay (500).
 */
import { htmx } from "./htmx.js";

/** How near to the end counts as there, in pixels. */
const nearPx = 32;

/** @param {HTMLElement} root */
export function tail(root) {
	/** @type {(name: string) => HTMLElement | null} */
	const part = (name) => root.querySelector(`[data-tail-${name}]`);
	const rows = part("rows");
	if (!rows) {
		return () => {};
	}
	const view = part("view") ?? rows;
	const pause = part("pause");
	const state = part("state");
	const follow = /** @type {HTMLInputElement | null} */ (part("follow"));
	const most = Number(root.dataset.tailMax ?? 500);
	const newestFirst = rows.getAttribute("hx-swap")?.startsWith("afterbegin") ?? false;

	/** @type {string[]} */
	let waiting = [];
	let paused = false;
	let connection = "connecting";
	let toEnd = false;

	const say = () => {
		if (pause) {
			pause.setAttribute("aria-pressed", String(paused));
			const label = pause.querySelector("[data-label]") ?? pause;
			label.textContent = paused ? "Resume" : "Pause";
		}
		if (state) {
			state.dataset.state = paused ? "paused" : connection;
			state.textContent = paused ? pausedText(waiting.length, most) : words[connection];
		}
	};

	const trim = () => {
		while (rows.children.length > most) {
			const oldest = newestFirst ? rows.lastElementChild : rows.firstElementChild;
			if (oldest) {
				htmx.remove(oldest);
			}
		}
	};

	const added = () => {
		trim();
		if (follow?.checked ?? true) {
			toEnd = true;
			view.scrollTop = newestFirst ? 0 : view.scrollHeight;
		}
	};

	/** @param {Event} event */
	const before = (event) => {
		if (paused && event.target === rows) {
			event.preventDefault();
			waiting.push(/** @type {CustomEvent} */ (event).detail.data);
			waiting = waiting.slice(-most);
			say();
		}
	};

	const toggle = () => {
		paused = !paused;
		if (!paused) {
			for (const html of waiting) {
				htmx.swap(rows, html, { swapStyle: newestFirst ? "afterbegin" : "beforeend", swapDelay: 0, settleDelay: 0 });
			}
			waiting = [];
			added();
		}
		say();
	};

	const clear = () => {
		waiting = [];
		rows.replaceChildren();
		say();
	};

	const scrolled = () => {
		if (toEnd || !follow) {
			toEnd = false;
			return;
		}
		const away = newestFirst ? view.scrollTop : view.scrollHeight - view.clientHeight - view.scrollTop;
		follow.checked = away < nearPx;
	};

	/** @type {(name: string) => () => void} */
	const connected = (name) => () => {
		connection = name;
		say();
	};

	const listeners = new AbortController();
	const { signal } = listeners;
	root.addEventListener("htmx:sseOpen", connected("live"), { signal });
	root.addEventListener("htmx:sseError", connected("lost"), { signal });
	root.addEventListener("htmx:sseClose", connected("ended"), { signal });
	root.addEventListener("htmx:sseBeforeMessage", before, { signal });
	rows.addEventListener("htmx:sseMessage", added, { signal });
	pause?.addEventListener("click", toggle, { signal });
	part("clear")?.addEventListener("click", clear, { signal });
	follow?.addEventListener("change", () => follow.checked && added(), { signal });
	view.addEventListener("scroll", scrolled, { signal, passive: true });
	say();
	return () => listeners.abort();
}

/** @type {Record<string, string>} */
const words = {
	connecting: "Connecting",
	live: "Live",
	lost: "Connection lost, trying again",
	ended: "Ended",
};

/**
 * @param {number} count
 * @param {number} most
 */
function pausedText(count, most) {
	if (count === 0) {
		return "Paused";
	}
	if (count < most) {
		return `Paused, ${count} ${count === 1 ? "update waits" : "updates wait"}`;
	}
	return `Paused, the newest ${most} updates wait`;
}
