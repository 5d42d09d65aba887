/**
 * What may come next in a query or a filter that is being written as JSON. It
 * works on text that isn't JSON yet, and knows no editor.
 */

const queryKeys = ["table", "predicates", "filter", "order_by", "limit", "cursor", "return", "fields", "explain", "allow_full_scan"];
const filterKeys = ["column", "op", "value", "and", "or", "not"];
const operators = ["eq", "ne", "in", "nin", "lt", "lte", "gt", "gte", "between", "exists", "prefix", "contains", "geo_radius", "geo_box"];

/** The keys below which filters stand. */
const filterParents = ["predicates", "filter", "and", "or", "not"];

/** How much of a text is looked at. */
const mostCharacters = 100_000;

/**
 * @typedef {object} Schema what can be named
 * @property {Record<string, string[]>} tables columns by table
 */

/**
 * Suggests what may stand at a position, and goes on from what was typed there. The words are as JSON has them; they
 * replace the text from the position `from` on.
 * @param {string} text
 * @param {number} at
 * @param {Schema} schema
 * @param {{ filter?: boolean, table?: string }} about the text is a filter of a table, not a query
 * @returns {{ from: number, words: string[] } | null}
 */
export function suggest(text, at, schema, about) {
	if (at > mostCharacters) {
		return null;
	}
	const place = scan(text.slice(0, at));
	const all = place.key ? keys(place, about) : values(place, text, schema, about);
	const words = matching(all, text.slice(place.from, at));
	return words.length > 0 ? { from: place.from, words } : null;
}

/**
 * The words that have what was typed in them, those that begin with it first.
 * @param {string[]} words
 * @param {string} typed
 */
function matching(words, typed) {
	const sought = typed.replace(/^"/, "").toLowerCase();
	const at = (/** @type {string} */ word) => word.replace(/^"/, "").toLowerCase().indexOf(sought);
	return words.filter((word) => at(word) >= 0).sort((a, b) => Number(at(a) > 0) - Number(at(b) > 0));
}

/**
 * @param {Place} place
 * @param {{ filter?: boolean }} about
 */
function keys(place, about) {
	const inFilter = filterParents.includes(place.parent) || (about.filter && place.depth === 1);
	if (inFilter) {
		return filterKeys.map(quoted);
	}
	return place.depth === 1 ? queryKeys.map(quoted) : [];
}

/**
 * @param {Place} place
 * @param {string} text
 * @param {Schema} schema
 * @param {{ table?: string }} about
 */
function values(place, text, schema, about) {
	switch (place.parent) {
		case "table":
			return Object.keys(schema.tables).map(quoted);
		case "op":
			return operators.map(quoted);
		case "return":
			return ["entities", "keys", "count"].map(quoted);
		case "explain":
		case "allow_full_scan":
			return ["true", "false"];
		case "column":
		case "fields":
			return columns(text, schema, about).map(quoted);
		case "order_by":
			return columns(text, schema, about).flatMap((column) => [quoted(column), quoted("-" + column)]);
	}
	return [];
}

/**
 * The columns of the table that the text names; of all tables if it names none.
 * @param {string} text
 * @param {Schema} schema
 * @param {{ table?: string }} about
 */
function columns(text, schema, about) {
	const named = about.table ?? /"table"\s*:\s*"([^"\\]*)"/.exec(text)?.[1] ?? "";
	const known = Object.hasOwn(schema.tables, named) ? [schema.tables[named]] : Object.values(schema.tables);
	return [...new Set(known.flat())].sort();
}

const quoted = (/** @type {string} */ word) => JSON.stringify(word);

/**
 * @typedef {object} Place where a text ends
 * @property {number} from the start of the word that is being written
 * @property {boolean} key it is the name of a property
 * @property {string} parent the property that it is in, through arrays
 * @property {number} depth how many objects it is in
 */

/**
 * Reads JSON that stops somewhere.
 * @param {string} text
 * @returns {Place}
 */
export function scan(text) {
	/** @type {{ object: boolean, name: string, key: boolean }[]} */
	const open = [];
	let from = -1;
	for (let i = 0; i < text.length; i++) {
		const top = open[open.length - 1];
		switch (text[i]) {
			case '"': {
				const end = endOfString(text, i);
				if (end < 0) {
					from = i;
					i = text.length;
				} else if (top?.key) {
					top.name = text.slice(i + 1, end);
				}
				i = end < 0 ? i : end;
				break;
			}
			case "{":
				open.push({ object: true, name: "", key: true });
				break;
			case "[":
				open.push({ object: false, name: "", key: false });
				break;
			case "}":
			case "]":
				open.pop();
				break;
			case ":":
				if (top) {
					top.key = false;
				}
				break;
			case ",":
				if (top?.object) {
					top.key = true;
					top.name = "";
				}
		}
	}
	if (from < 0) {
		from = text.length - (/[\w.-]*$/.exec(text)?.[0].length ?? 0);
	}
	const key = open[open.length - 1]?.key ?? false;
	const around = key ? open.slice(0, -1) : open;
	return {
		from,
		key,
		parent: around.findLast((level) => level.object)?.name ?? "",
		depth: open.filter((level) => level.object).length,
	};
}

/**
 * Where the string that begins at i ends; -1 if it doesn't.
 * @param {string} text
 * @param {number} i
 */
function endOfString(text, i) {
	for (let j = i + 1; j < text.length; j++) {
		if (text[j] === "\\") {
			j++;
		} else if (text[j] === '"') {
			return j;
		}
	}
	return -1;
}
