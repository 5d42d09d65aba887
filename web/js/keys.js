/**
 * Shortcuts: "/" searches, "g" and a letter goes to a page of the menu (its
 * data-key), "?" lists them, Escape closes, Ctrl+Enter sends the form around a
 * text. Single keys are left alone where one writes.
 */

/** How long after "g" the letter may come. */
const sequenceMs = 1500;

let went = -Infinity;

document.addEventListener("keydown", (event) => {
	const target = /** @type {HTMLElement} */ (event.target);
	if (event.defaultPrevented) {
		return;
	}
	if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
		send(event, target);
	} else if (event.key === "Escape") {
		close();
	} else if (!event.ctrlKey && !event.metaKey && !event.altKey && !writes(target)) {
		single(event);
	}
});

/** @param {KeyboardEvent} event */
function single(event) {
	const after = performance.now() - went < sequenceMs;
	went = -Infinity;
	if (after) {
		const link = document.querySelector(`.menu a[data-key="${CSS.escape(event.key)}"]`);
		if (link instanceof HTMLAnchorElement) {
			event.preventDefault();
			link.click();
		}
	} else if (event.key === "g") {
		went = performance.now();
	} else if (event.key === "/") {
		const field = firstVisible("main input[type=search]");
		if (field) {
			event.preventDefault();
			field.focus();
			/** @type {HTMLInputElement} */ (field).select?.();
		}
	} else if (event.key === "?") {
		event.preventDefault();
		help();
	}
}

/** @param {HTMLElement} element */
function writes(element) {
	return element.isContentEditable || element.matches?.("input:not([type=checkbox], [type=radio], [type=button], [type=submit], [type=range]), textarea, select");
}

/** @param {string} selector */
function firstVisible(selector) {
	for (const element of document.querySelectorAll(selector)) {
		if (element instanceof HTMLElement && element.checkVisibility()) {
			return element;
		}
	}
	return null;
}

/**
 * @param {KeyboardEvent} event
 * @param {HTMLElement} target
 */
function send(event, target) {
	const form = target.closest?.("form");
	if (form && (target.matches("textarea") || target.isContentEditable)) {
		event.preventDefault();
		form.requestSubmit();
	}
}

/** Closes what is open over the page; dialogs close themselves. */
function close() {
	const open = [...document.querySelectorAll("details.confirm[open]")].pop();
	if (open instanceof HTMLDetailsElement) {
		open.open = false;
		open.querySelector("summary")?.focus();
	}
	const menu = document.querySelector("#menu-toggle");
	if (menu instanceof HTMLInputElement) {
		menu.checked = false;
	}
}

function help() {
	const shown = document.querySelector("dialog.shortcuts");
	if (shown instanceof HTMLDialogElement) {
		shown.close();
		return;
	}
	const dialog = document.createElement("dialog");
	dialog.className = "shortcuts card";
	dialog.setAttribute("aria-label", "Keyboard shortcuts");
	dialog.append(list());
	dialog.addEventListener("close", () => dialog.remove());
	dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
	document.body.append(dialog);
	dialog.showModal();
}

function list() {
	const facts = document.createElement("dl");
	facts.className = "facts card-body";
	/** @type {(keys: string[], does: string) => void} */
	const line = (keys, does) => {
		const term = document.createElement("dt");
		keys.forEach((key, i) => {
			const shown = document.createElement("kbd");
			shown.textContent = key;
			term.append(i > 0 ? " " : "", shown);
		});
		const meaning = document.createElement("dd");
		meaning.textContent = does;
		facts.append(term, meaning);
	};
	line(["/"], "Search on this page");
	line(["Ctrl", "Enter"], "Send the text being written");
	line(["Esc"], "Close what is open");
	line(["?"], "These shortcuts");
	for (const link of document.querySelectorAll(".menu a[data-key]")) {
		line(["g", /** @type {HTMLElement} */ (link).dataset.key ?? ""], link.textContent?.trim() ?? "");
	}
	return facts;
}
