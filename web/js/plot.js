/** What the plots have in common: their data, colours, size and legend. */

/**
 * A colour of the style sheets, as a canvas takes it.
 * @param {string} name
 */
export function colour(name) {
	const probe = document.createElement("span");
	probe.style.color = `var(${name})`;
	document.documentElement.append(probe);
	const resolved = getComputedStyle(probe).color;
	probe.remove();
	return resolved;
}

/** How many colours there are for series; tokens.css has them. */
const seriesColours = 6;

/** The colours and the type of the page as it is now. */
export function palette() {
	const series = Array.from({ length: seriesColours }, (_, i) => colour(`--series-${i + 1}`));
	return {
		/** @param {number} i */
		series: (i) => series[i % seriesColours],
		text: colour("--text"),
		muted: colour("--muted"),
		grid: colour("--border"),
		surface: colour("--surface"),
		font: "12px " + getComputedStyle(document.body).fontFamily,
	};
}

/** More series than colours differ by their dashes. */
export const dashOf = (/** @type {number} */ i) => (i < seriesColours ? [] : [5, 3]);

/**
 * Calls back when an element has another size or the page other colours. Returns
 * what ends that.
 * @param {HTMLElement} element
 * @param {{ resized: (width: number) => void, recoloured: () => void }} to
 */
export function watch(element, { resized, recoloured }) {
	let width = element.clientWidth;
	const sizes = new ResizeObserver(() => {
		if (element.clientWidth !== width && element.clientWidth > 0) {
			width = element.clientWidth;
			resized(width);
		}
	});
	sizes.observe(element);
	const theme = new MutationObserver(recoloured);
	theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
	const system = matchMedia("(prefers-color-scheme: dark)");
	system.addEventListener("change", recoloured);
	return () => {
		sizes.disconnect();
		theme.disconnect();
		system.removeEventListener("change", recoloured);
	};
}

/**
 * Puts a plot in the place of what the server drew into a figure; the caption
 * stays. Returns the plot's element and what puts the old things back.
 * @param {HTMLElement} figure
 * @param {string} kind
 */
export function stage(figure, kind) {
	const replaced = [...figure.children].filter((child) => !child.matches("figcaption, script") && !child.hasAttribute("hidden"));
	for (const child of replaced) {
		child.toggleAttribute("hidden", true);
	}
	const place = document.createElement("div");
	place.className = `plot plot-${kind}`;
	place.tabIndex = 0;
	place.setAttribute("role", "group");
	place.setAttribute("aria-label", figure.querySelector("figcaption")?.textContent?.trim() || figure.getAttribute("aria-label") || "Chart");
	figure.append(place);
	return {
		place,
		leave: () => {
			place.remove();
			for (const child of replaced) {
				child.removeAttribute("hidden");
			}
		},
	};
}

/**
 * A legend whose entries show their value and switch their series.
 * @param {string[]} names
 * @param {(index: number, shown: boolean) => void} switched
 */
export function legend(names, switched) {
	const element = document.createElement("ul");
	element.className = "plot-legend";
	const values = names.map((name, i) => {
		const button = document.createElement("button");
		button.type = "button";
		button.className = "plot-key";
		button.setAttribute("aria-pressed", "true");
		const mark = document.createElement("span");
		mark.className = `plot-mark series-${(i % seriesColours) + 1}`;
		const label = document.createElement("bdi");
		label.textContent = name;
		const value = document.createElement("span");
		value.className = "plot-value";
		button.append(mark, label, value);
		button.addEventListener("click", () => {
			const shown = button.getAttribute("aria-pressed") !== "true";
			button.setAttribute("aria-pressed", String(shown));
			switched(i, shown);
		});
		const item = document.createElement("li");
		item.append(button);
		element.append(item);
		return value;
	});
	return {
		element,
		/** @param {(index: number) => string} text */
		show: (text) => values.forEach((value, i) => (value.textContent = text(i))),
	};
}

/**
 * The arrow keys move a plot's cursor from point to point; it is read out.
 * @param {HTMLElement} place
 * @param {() => { index: number | null, count: number }} where
 * @param {(index: number | null) => void} go
 */
export function steer(place, where, go) {
	place.addEventListener("keydown", (event) => {
		const { index, count } = where();
		if (count === 0) {
			return;
		}
		const last = count - 1;
		const at = index ?? last;
		/** @type {Record<string, number | null>} */
		const targets = {
			ArrowLeft: Math.max(0, at - 1),
			ArrowRight: Math.min(last, at + 1),
			PageUp: Math.max(0, at - Math.ceil(count / 10)),
			PageDown: Math.min(last, at + Math.ceil(count / 10)),
			Home: 0,
			End: last,
			Escape: null,
		};
		if (event.key in targets) {
			event.preventDefault();
			go(targets[event.key]);
		}
	});
}
