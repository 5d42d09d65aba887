import assert from "node:assert/strict";
import { test } from "node:test";
import { fit, nearest } from "../js/points.js";
import { add, range } from "../js/series.js";

test("a point is added and old ones go", () => {
	const before = [[0, 5, 10], [1, 2, null]];
	const after = add(before, { time: 15, values: [4] }, 10);
	assert.deepEqual(after, [[5, 10, 15], [2, null, 4]]);
	assert.deepEqual(before, [[0, 5, 10], [1, 2, null]]);
	assert.deepEqual(add(before, { time: 10, values: [9] }, 10), before, "a point that is known");
	assert.deepEqual(add([[], []], { time: 7, values: [] }, 10), [[7], [null]]);
});

test("a long silence is a gap", () => {
	assert.deepEqual(add([[0, 5, 10], [1, 1, 1]], { time: 60, values: [2] }, 3600), [[0, 5, 10, 15, 60], [1, 1, 1, null, 2]]);
	assert.deepEqual(add([[0, 5, 10], [1, 1, 1]], { time: 60, values: [2] }, 30), [[60], [2]]);
});

test("axes begin at zero", () => {
	assert.deepEqual(range(3, 100), [0, 105]);
	assert.deepEqual(range(null, null), [0, 1]);
	assert.deepEqual(range(-10, 0), [-10.5, 0]);
});

test("points in a picture", () => {
	const scale = fit({ x: -1, y: -1, width: 2, height: 2 }, 220, 120, 10);
	assert.deepEqual(scale.toPixels(0, 0), [110, 60]);
	assert.deepEqual(scale.toPixels(1, 1), [160, 10]);
	assert.deepEqual(scale.toValues(160, 10), [1, 1]);
	const points = [{ x: 0, y: 0 }, { x: 1, y: 1 }].map((point, index) => ({ point, index }));
	assert.equal(nearest(points, scale, 112, 61, 14), 0);
	assert.equal(nearest(points, scale, 158, 12, 14), 1);
	assert.equal(nearest(points, scale, 20, 20, 14), null);
	assert.deepEqual(fit({ x: 5, y: 5, width: 0, height: 0 }, 100, 100, 10).toPixels(5, 5), [50, 50]);
});
