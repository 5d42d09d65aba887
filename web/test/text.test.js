import assert from "node:assert/strict";
import { test } from "node:test";
import { ago } from "../js/ago-text.js";
import { bytes, clock, millis, number, writer } from "../js/figures.js";

test("how long ago, in the server's words", () => {
	const now = Date.parse("2026-01-02T03:04:05Z");
	const second = 1000, hour = 3600 * second;
	for (const [past, want] of [
		[0, "just now"], [4.9 * second, "just now"], [-900, "just now"], [5 * second, "5 s ago"],
		[59.9 * second, "59 s ago"], [60 * second, "1 min ago"], [59 * 60 * second, "59 min ago"],
		[hour, "1 h ago"], [47 * hour, "47 h ago"], [48 * hour, "2 days ago"], [-90 * second, "in 1 min"],
	]) {
		assert.equal(ago(now - past, now), want);
	}
	assert.equal(ago(NaN, now), "");
});

test("figures, as the server writes them", () => {
	for (const [x, want] of [
		[0, "0"], [0.01234, "0.0123"], [0.1, "0.1"], [1, "1"], [1.234, "1.23"], [9.99, "9.99"],
		[45.67, "45.7"], [99.94, "99.9"], [100, "100"], [1234.5, "1,235"], [1234567, "1,234,567"],
		[-45.67, "-45.7"], [Infinity, "–"],
	]) {
		assert.equal(number(x), want);
	}
	assert.deepEqual([0, 512, 1536, 12 * 1024 ** 2, 1023.96].map(bytes), ["0 B", "512 B", "1.5 KiB", "12 MiB", "1 KiB"]);
	assert.deepEqual([0, 0.05, 1.234, 999, 45600].map(millis), ["0 ms", "50 µs", "1.23 ms", "999 ms", "45.6 s"]);
	assert.equal(writer("percent")(12.34), "12.3 %");
	assert.equal(writer("share")(0.987), "98.7 %");
	assert.equal(writer("ms")(null), "–");
	assert.equal(writer("no such unit")(2), "2");
});

test("times of the day", () => {
	const time = Date.parse("2026-01-02T03:04:05Z") / 1000;
	assert.deepEqual([1, 60, 86400].map((step) => clock(time, step)), ["03:04:05", "03:04", "2026-01-02"]);
});
