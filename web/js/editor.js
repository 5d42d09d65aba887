/**
 * <textarea data-editor="json|filter"> becomes a CodeMirror editor. With
 * data-schema="#id", a script block {"tables": {"t": ["column", ...]}}, it completes
 * the names in a query, or in a filter of the table that data-table names.
 *
 * The textarea stays the form's field: what is typed goes into it with an input
 * event, and a script that changes it dispatches a change event.
 */
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { json, jsonParseLinter } from "@codemirror/lang-json";
import { bracketMatching, foldGutter, foldKeymap, HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { linter, lintKeymap } from "@codemirror/lint";
import { search, searchKeymap } from "@codemirror/search";
import { Annotation, EditorState, Prec } from "@codemirror/state";
import { EditorView, highlightSpecialChars, keymap, lineNumbers, placeholder } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { suggest } from "./complete.js";
import { sourceOf } from "./source.js";

const colours = HighlightStyle.define([
	{ tag: tags.propertyName, color: "var(--syntax-key)" },
	{ tag: tags.string, color: "var(--syntax-string)" },
	{ tag: tags.number, color: "var(--syntax-number)" },
	{ tag: [tags.bool, tags.null], color: "var(--syntax-word)" },
]);

/** Marks what came from the textarea, so that it isn't told about it. */
const fromTextarea = Annotation.define();

/** @param {HTMLElement} element */
export function editor(element) {
	const textarea = /** @type {HTMLTextAreaElement} */ (element);
	const view = new EditorView({
		doc: textarea.value,
		extensions: [
			EditorView.cspNonce.of(/** @type {HTMLElement | null} */ (document.querySelector("link[nonce]"))?.nonce ?? ""),
			EditorView.editorAttributes.of({ class: "editor", style: `--rows: ${textarea.rows}` }),
			EditorView.contentAttributes.of(labels(textarea)),
			EditorState.readOnly.of(textarea.readOnly || textarea.disabled),
			EditorView.updateListener.of((update) => {
				if (update.docChanged && !update.transactions.some((t) => t.annotation(fromTextarea))) {
					textarea.value = update.state.doc.toString();
					textarea.dispatchEvent(new Event("input", { bubbles: true }));
				}
			}),
			Prec.highest(keymap.of([{ key: "Mod-Enter", run: () => (textarea.form?.requestSubmit(), true) }])),
			writing(),
			completion(textarea),
			placeholder(textarea.placeholder),
		],
	});
	textarea.after(view.dom);
	const wasRequired = textarea.required;
	textarea.hidden = true;
	textarea.required = false; // nobody could see what the browser says about a hidden field

	const listeners = new AbortController();
	const { signal } = listeners;
	textarea.addEventListener("change", () => take(view, textarea.value), { signal });
	textarea.form?.addEventListener("reset", () => setTimeout(() => take(view, textarea.value)), { signal });
	for (const label of textarea.labels ?? []) {
		label.addEventListener("click", () => view.focus(), { signal });
	}
	return () => {
		listeners.abort();
		view.destroy();
		textarea.hidden = false;
		textarea.required = wasRequired;
	};
}

/**
 * @param {EditorView} view
 * @param {string} text
 */
function take(view, text) {
	if (text !== view.state.doc.toString()) {
		view.dispatch({
			changes: { from: 0, to: view.state.doc.length, insert: text },
			annotations: fromTextarea.of(true),
		});
	}
}

/** What an editor of JSON has. Tab leaves it, as it does any other field. */
function writing() {
	const parse = jsonParseLinter();
	return [
		lineNumbers(),
		foldGutter(),
		highlightSpecialChars(),
		history(),
		bracketMatching(),
		closeBrackets(),
		search({ top: true }),
		json(),
		linter((view) => (view.state.doc.toString().trim() === "" ? [] : parse(view))),
		syntaxHighlighting(colours),
		EditorView.lineWrapping,
		keymap.of([...closeBracketsKeymap, ...completionKeymap, ...searchKeymap, ...foldKeymap, ...lintKeymap, ...historyKeymap, ...defaultKeymap]),
	];
}

/** @param {HTMLTextAreaElement} textarea */
function completion(textarea) {
	const schema = sourceOf(textarea.dataset.schema);
	if (!schema?.tables) {
		return [];
	}
	const about = { filter: textarea.dataset.editor === "filter", table: textarea.dataset.table };
	return autocompletion({
		icons: false,
		override: [(context) => {
			const found = suggest(context.state.doc.toString(), context.pos, schema, about);
			if (!found || (found.from === context.pos && !context.explicit)) {
				return null;
			}
			const options = found.words.map((word) => ({ label: word, displayLabel: word.replace(/^"|"$/g, "") }));
			return { from: found.from, to: afterQuote(context.state, context.pos), options, filter: false };
		}],
	});
}

/**
 * The quote that was closed when the string was opened is replaced with it.
 * @param {EditorState} state
 * @param {number} at
 */
function afterQuote(state, at) {
	return state.sliceDoc(at, at + 1) === '"' ? at + 1 : at;
}

/**
 * The editor goes by the names of its textarea.
 * @param {HTMLTextAreaElement} textarea
 */
function labels(textarea) {
	/** @type {Record<string, string>} */
	const attributes = {
		"aria-label": textarea.getAttribute("aria-label") ?? textarea.labels?.[0]?.textContent?.trim() ?? "JSON",
		tabindex: "0", // it can be focused without, which accessibility checkers don't know
	};
	for (const name of ["aria-describedby", "aria-invalid"]) {
		const value = textarea.getAttribute(name);
		if (value) {
			attributes[name] = value;
		}
	}
	return attributes;
}
