/** The geometry of scatter plots. */

/**
 * Maps a box of values onto a picture, the same for both axes, so that distances
 * are true; in the middle of what is left.
 * @param {{ x: number, y: number, width: number, height: number }} box
 * @param {number} width
 * @param {number} height
 * @param {number} margin
 */
export function fit(box, width, height, margin) {
	const perValue = Math.min(
		(width - 2 * margin) / (box.width || 1),
		(height - 2 * margin) / (box.height || 1),
	);
	const left = (width - box.width * perValue) / 2;
	const bottom = (height + box.height * perValue) / 2;
	return {
		/** @type {(x: number, y: number) => [number, number]} */
		toPixels: (x, y) => [left + (x - box.x) * perValue, bottom - (y - box.y) * perValue],
		/** @type {(x: number, y: number) => [number, number]} */
		toValues: (x, y) => [box.x + (x - left) / perValue, box.y + (bottom - y) / perValue],
	};
}

/**
 * The index of the point next to a place in the picture, within reach of it.
 * @param {{ point: { x: number, y: number }, index: number }[]} points
 * @param {{ toPixels: (x: number, y: number) => [number, number] }} scale
 * @param {number} x
 * @param {number} y
 * @param {number} reach
 */
export function nearest(points, scale, x, y, reach) {
	let found = null;
	let least = reach;
	for (const { point, index } of points) {
		const [px, py] = scale.toPixels(point.x, point.y);
		const distance = Math.hypot(px - x, py - y);
		if (distance <= least) {
			least = distance;
			found = index;
		}
	}
	return found;
}
