/** What stands over and beside the points of a scatter plot. */
import { legend } from "./plot.js";

/** A label at a point; it is read out as it changes. */
export function tooltip() {
	const element = document.createElement("div");
	element.className = "plot-tip";
	element.setAttribute("role", "status");
	element.dir = "auto";
	element.hidden = true;
	return {
		element,
		/** @param {string} text @param {number} x @param {number} y @param {number} width of the plot */
		show: (text, x, y, width) => {
			element.textContent = text;
			element.hidden = false;
			const room = width - element.offsetWidth - 8;
			element.style.left = `${Math.max(0, Math.min(x + 10, room))}px`;
			element.style.top = `${Math.max(0, y - element.offsetHeight - 10)}px`;
		},
		hide: () => (element.hidden = true),
	};
}

/**
 * A legend of groups that can be switched off; nothing for a single one.
 * @param {string[]} groups
 * @param {(group: number, shown: boolean) => void} switched
 */
export function groupLegend(groups, switched) {
	return groups.length > 1 ? legend(groups, switched).element : "";
}
