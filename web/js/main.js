/**
 * What the console's pages do beyond HTML. Pages make sense without any of it:
 * each behaviour looks for its data attribute, and what is big is loaded when a
 * page has a use for it.
 */
import { htmx } from "./htmx.js";
import "./ago.js";
import "./copy.js";
import "./forms.js";
import "./keys.js";
import "./session.js";
import "./theme.js";
import "./upload.js";
import { tail } from "./tail.js";
import { attach } from "./attach.js";

/**
 * Each of these is called with an element once, and returns what undoes it.
 * @type {[string, () => Promise<(element: HTMLElement) => (() => void)>][]}
 */
const widgets = [
	["[data-tail]", async () => tail],
	["textarea[data-editor]", async () => (await import("./editor.js")).editor],
	["[data-chart]", async () => (await import("./chart.js")).chart],
	["[data-curve]", async () => (await import("./curve.js")).curve],
	["[data-query-history]", async () => (await import("./query-history.js")).queryHistory],
	["[data-scatter]", async () => (await import("./scatter.js")).scatter],
];

htmx.onLoad((part) => {
	for (const [selector, load] of widgets) {
		attach(/** @type {Element} */ (part), selector, load);
	}
});
