/**
 * Scatter plots: <figure data-scatter data-scatter-source="#json">, where the JSON
 * is {"points": [{"x", "y", "label", "group", "href"}], "groups": ["..."]} and group
 * is an index. The label of the point below the pointer is shown, a click opens
 * it; a drag shows a part, a double click all. The arrow keys step through the
 * points from left to right, and Enter opens one.
 */
import { palette, stage, steer, watch } from "./plot.js";
import { fit, nearest } from "./points.js";
import { groupLegend, tooltip } from "./scatter-parts.js";
import { sourceOf } from "./source.js";

const height = 420;
const margin = 16;
const radius = 3.5;

/** How near the pointer has to be to a point, in pixels. */
const reach = 14;

/** How far a drag goes at least, so that it isn't a click. */
const dragPx = 6;

/**
 * @typedef {{ x: number, y: number, label: string, group?: number, href?: string }} Point
 * @typedef {{ x: number, y: number, width: number, height: number }} Box
 */

/** @param {HTMLElement} figure */
export function scatter(figure) {
	const source = sourceOf(figure.dataset.scatterSource);
	if (!source?.points?.length) {
		return () => {};
	}
	const { place, leave } = stage(figure, "scatter");
	const plot = new Scatter(place, source.points, source.groups ?? []);
	return () => {
		plot.destroy();
		leave();
	};
}

class Scatter {
	/**
	 * @param {HTMLElement} place
	 * @param {Point[]} points
	 * @param {string[]} groups
	 */
	constructor(place, points, groups) {
		this.points = points.toSorted((a, b) => a.x - b.x);
		/** @type {Set<number>} */
		this.hiddenGroups = new Set();
		/** @type {Box | null} the part that is shown, in the points' coordinates */
		this.part = null;
		/** @type {number | null} */
		this.at = null;
		/** @type {{ x: number, y: number, toX: number, toY: number } | null} */
		this.drag = null;
		/** a finger is on the point that it was on before */
		this.again = false;
		this.colours = palette();

		this.canvas = document.createElement("canvas");
		this.canvas.setAttribute("aria-hidden", "true");
		this.tip = tooltip();
		const legend = groupLegend(groups, (group, shown) => {
			shown ? this.hiddenGroups.delete(group) : this.hiddenGroups.add(group);
			this.go(null);
		});
		const frame = document.createElement("div");
		frame.className = "plot-frame";
		frame.append(this.canvas, this.tip.element);
		place.append(legend, frame);
		this.frame = frame;
		this.ends = [
			watch(place, {
				resized: () => this.draw(),
				recoloured: () => {
					this.colours = palette();
					this.draw();
				},
			}),
			this.listen(),
		];
		steer(place, () => ({ index: this.at, count: this.points.length }), (index) => this.go(index));
		place.addEventListener("keydown", (event) => event.key === "Enter" && event.target === place && this.open());
		this.draw();
	}

	listen() {
		const listeners = new AbortController();
		const { signal } = listeners;
		this.canvas.addEventListener("pointermove", (event) => this.move(event.offsetX, event.offsetY), { signal });
		this.canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && !this.drag && this.go(null), { signal });
		this.canvas.addEventListener("pointerdown", (event) => this.press(event), { signal });
		this.canvas.addEventListener("pointerup", (event) => this.release(event), { signal });
		this.canvas.addEventListener("pointercancel", () => this.cancel(), { signal });
		this.canvas.addEventListener("dblclick", () => this.show(null), { signal });
		return () => listeners.abort();
	}

	destroy() {
		this.ends.forEach((end) => end());
	}

	/** Shows a part of the plot, or all. @param {Box | null} part */
	show(part) {
		this.part = part;
		this.go(null);
	}

	/** Puts the cursor on a point. @param {number | null} index */
	go(index) {
		this.at = index;
		this.draw();
		if (index === null) {
			this.tip.hide();
			return;
		}
		const point = this.points[index];
		const [x, y] = this.scale.toPixels(point.x, point.y);
		this.tip.show(point.label, x, y, this.frame.clientWidth);
	}

	open() {
		const href = this.at === null ? undefined : this.points[this.at].href;
		if (href) {
			const url = new URL(href, document.baseURI);
			if (url.origin === location.origin) {
				location.assign(url);
			}
		}
	}

	/** @param {number} x @param {number} y */
	move(x, y) {
		if (this.drag) {
			this.drag.toX = x;
			this.drag.toY = y;
			this.draw();
			return;
		}
		const found = nearest(this.shown(), this.scale, x, y, reach);
		this.canvas.classList.toggle("opens", found !== null && Boolean(this.points[found].href));
		if (found !== this.at) {
			this.go(found);
		}
	}

	/** @param {PointerEvent} event */
	press(event) {
		if (event.button !== 0) {
			return;
		}
		if (event.pointerType === "mouse") {
			this.canvas.setPointerCapture(event.pointerId);
			this.drag = { x: event.offsetX, y: event.offsetY, toX: event.offsetX, toY: event.offsetY };
		} else {
			const before = this.at;
			this.move(event.offsetX, event.offsetY);
			this.again = before !== null && before === this.at;
		}
	}

	/** @param {PointerEvent} event */
	release(event) {
		if (event.button !== 0) {
			return;
		}
		const drag = this.drag;
		this.drag = null;
		if (drag && Math.hypot(drag.toX - drag.x, drag.toY - drag.y) >= dragPx) {
			const [x1, y1] = this.scale.toValues(Math.min(drag.x, drag.toX), Math.max(drag.y, drag.toY));
			const [x2, y2] = this.scale.toValues(Math.max(drag.x, drag.toX), Math.min(drag.y, drag.toY));
			this.show({ x: x1, y: y1, width: x2 - x1, height: y2 - y1 });
		} else if (drag || this.again) {
			this.open();
		}
	}

	cancel() {
		this.drag = null;
		this.go(null);
	}

	/** The points with their indexes, but those of groups that are switched off. */
	shown() {
		return this.points.map((point, index) => ({ point, index })).filter(({ point }) => !this.hiddenGroups.has(point.group ?? 0));
	}

	get scale() {
		return fit(this.part ?? bounds(this.points), this.frame.clientWidth, height, margin);
	}

	draw() {
		const width = this.frame.clientWidth;
		const ratio = devicePixelRatio;
		this.canvas.width = width * ratio;
		this.canvas.height = height * ratio;
		this.canvas.style.width = `${width}px`;
		this.canvas.style.height = `${height}px`;
		const pen = this.canvas.getContext("2d");
		if (!pen) {
			return;
		}
		pen.scale(ratio, ratio);
		const { scale } = this;
		for (const { point, index } of this.shown()) {
			const [x, y] = scale.toPixels(point.x, point.y);
			pen.beginPath();
			pen.arc(x, y, index === this.at ? radius * 1.8 : radius, 0, 2 * Math.PI);
			pen.globalAlpha = this.at === null || index === this.at ? 0.8 : 0.45;
			pen.fillStyle = this.colours.series(point.group ?? 0);
			pen.fill();
			if (index === this.at) {
				pen.strokeStyle = this.colours.text;
				pen.stroke();
			}
		}
		if (this.drag) {
			pen.globalAlpha = 1;
			pen.strokeStyle = this.colours.muted;
			pen.setLineDash([4, 3]);
			pen.strokeRect(this.drag.x, this.drag.y, this.drag.toX - this.drag.x, this.drag.toY - this.drag.y);
		}
	}
}

/** @param {Point[]} points */
function bounds(points) {
	const xs = points.map((point) => point.x);
	const ys = points.map((point) => point.y);
	const [x, y] = [Math.min(...xs), Math.min(...ys)];
	return { x, y, width: Math.max(...xs) - x, height: Math.max(...ys) - y };
}
