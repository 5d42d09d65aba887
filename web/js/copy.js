/** Copy buttons: data-copy="SELECTOR" copies the text or value of an element. */
import { toast } from "./toast.js";

document.addEventListener("click", async (event) => {
	const button = /** @type {Element} */ (event.target).closest?.("[data-copy]");
	if (!(button instanceof HTMLElement)) {
		return;
	}
	event.preventDefault();
	const text = textOf(button.dataset.copy ?? "");
	if (text === null) {
		return;
	}
	if (await write(text)) {
		button.dataset.copied = "";
		setTimeout(() => delete button.dataset.copied, 1500);
		toast("ok", "Copied.");
	} else {
		toast("danger", "The browser doesn't let pages copy here. Select the text and copy it yourself.");
	}
});

/** @param {string} selector */
function textOf(selector) {
	const source = document.querySelector(selector);
	if (source instanceof HTMLTextAreaElement || source instanceof HTMLInputElement) {
		return source.value;
	}
	return source?.textContent?.trim() ?? null;
}

/**
 * Browsers have the clipboard for pages on https and localhost alone; elsewhere
 * the old command still works.
 * @param {string} text
 */
async function write(text) {
	if (navigator.clipboard) {
		try {
			await navigator.clipboard.writeText(text);
			return true;
		} catch {
			// Not allowed; try the other way.
		}
	}
	const focused = document.activeElement;
	const field = document.createElement("textarea");
	field.value = text;
	field.className = "visually-hidden";
	field.setAttribute("aria-hidden", "true");
	document.body.append(field);
	field.select();
	const done = document.execCommand("copy");
	field.remove();
	if (focused instanceof HTMLElement) {
		focused.focus();
	}
	return done;
}
