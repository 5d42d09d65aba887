import assert from "node:assert/strict";
import { test } from "node:test";
import { readList, remember } from "../js/query-list.js";

test("what was stored is read, whatever it is", () => {
	assert.deepEqual(readList(""), []);
	assert.deepEqual(readList("{"), []);
	assert.deepEqual(readList('{"a":1}'), []);
	assert.deepEqual(readList(JSON.stringify(["a", 1, null, "x".repeat(5000), "b"])), ["a", "b"]);
	assert.equal(readList(JSON.stringify(Array.from({ length: 100 }, String))).length, 30);
});

test("the latest query comes first, and once", () => {
	assert.deepEqual(remember(["a", "b", "c"], "b"), ["b", "a", "c"]);
	assert.deepEqual(remember(["a"], "x".repeat(5000)), ["a"]);
	assert.equal(remember(Array.from({ length: 30 }, String), "new").length, 30);
});
