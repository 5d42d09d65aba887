import assert from "node:assert/strict";
import { test } from "node:test";
import { scan, suggest } from "../js/complete.js";

const schema = { tables: { books: ["year", "tags"], 'odd "name"': ["x"] } };

/** The words at the bar in a text, without their quotes. */
function words(text, about = {}) {
	const at = text.indexOf("|");
	const found = suggest(text.replace("|", ""), at, schema, about);
	return found && { from: found.from, words: found.words.map((word) => JSON.parse(word)) };
}

test("the names of a query", () => {
	assert.deepEqual(words('{|').words.slice(0, 3), ["table", "predicates", "filter"]);
	assert.deepEqual(words('{"ta|'), { from: 1, words: ["table"] });
	assert.deepEqual(words('{"OR|').words, ["order_by", "cursor"]);
	assert.equal(words('{"a": {"|'), null);
	assert.deepEqual(words('{"predicates": [{"|').words, ["column", "op", "value", "and", "or", "not"]);
	assert.deepEqual(words('{"filter": {"and": [{"not": {"|').words.slice(0, 2), ["column", "op"]);
});

test("the values of a query", () => {
	assert.deepEqual(words('{"table": "|"').words, ["books", 'odd "name"']);
	assert.deepEqual(words('{"table": "books", "predicates": [{"column": "|').words, ["tags", "year"]);
	assert.deepEqual(words('{"table": "books", "fields": ["year", "|').words, ["tags", "year"]);
	assert.deepEqual(words('{"table": "none", "order_by": |').words, ["tags", "-tags", "x", "-x", "year", "-year"]);
	assert.deepEqual(words('{"explain": t|'), { from: 12, words: [true] });
	assert.ok(words('{"predicates": [{"column": "year", "op": "|').words.includes("between"));
	assert.equal(words('{"limit": |'), null);
	assert.equal(words('{"table": "books"} |'), null);
});

test("a filter of a known table", () => {
	const about = { filter: true, table: "books" };
	assert.deepEqual(words('{"|', about).words, ["column", "op", "value", "and", "or", "not"]);
	assert.deepEqual(words('{"or": [{"column": "|', about).words, ["tags", "year"]);
	assert.deepEqual(words('{"column": "|', { filter: true, table: "__proto__" }).words, ["tags", "x", "year"]);
});

test("text that isn't JSON", () => {
	for (const text of ["", "]]}}", '{"a":"\\', "{{{{", ":::,,,", '"\\u12', "[".repeat(1000)]) {
		assert.ok(scan(text).from <= text.length);
	}
	assert.equal(suggest(" ".repeat(200_000), 150_000, schema, {}), null);
});
