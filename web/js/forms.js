/**
 * Forms: form[data-autosubmit] is sent when something in it changes, and no form is
 * sent twice by an impatient click.
 */

document.addEventListener("change", (event) => {
	const field = /** @type {HTMLInputElement} */ (event.target);
	const form = field.form;
	if (form?.matches("[data-autosubmit]") && !field.matches("[data-editor]")) {
		form.requestSubmit();
	}
});

/** How long a button rests after its form was sent, if the page is still there: the answer was a file. */
const restMs = 4000;

document.addEventListener("submit", (event) => {
	const form = /** @type {HTMLFormElement} */ (event.target);
	const button = event.submitter;
	if (event.defaultPrevented || form.method !== "post" || !(button instanceof HTMLButtonElement)) {
		return;
	}
	// Not before the browser has read the form: it leaves disabled buttons out.
	setTimeout(() => {
		button.disabled = true;
		setTimeout(() => (button.disabled = false), restMs);
	});
});

// A page that comes back from the browser's cache is as it was left.
addEventListener("pageshow", (event) => {
	if (event.persisted) {
		for (const button of document.querySelectorAll("form[method=post] button[type=submit]:disabled:not([aria-disabled])")) {
			/** @type {HTMLButtonElement} */ (button).disabled = false;
		}
	}
});
