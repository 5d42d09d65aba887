/** Forms that send files by htmx show how much has gone. */

document.addEventListener("htmx:xhr:progress", (event) => {
	const form = event.target;
	const { loaded, total } = /** @type {CustomEvent} */ (event).detail;
	if (!(form instanceof HTMLFormElement) || form.getAttribute("hx-encoding") !== "multipart/form-data" || !total) {
		return;
	}
	const { bar, text } = progressOf(form);
	bar.max = total;
	bar.value = loaded;
	text.textContent = loaded < total ? `${Math.floor((100 * loaded) / total)} % sent` : "Sent, waiting for the answer";
});

document.addEventListener("htmx:xhr:loadend", (event) => {
	if (event.target instanceof HTMLFormElement) {
		event.target.querySelector(".upload")?.remove();
	}
});

/** @param {HTMLFormElement} form */
function progressOf(form) {
	const shown = form.querySelector(".upload");
	if (shown) {
		return { bar: /** @type {HTMLProgressElement} */ (shown.querySelector("progress")), text: /** @type {Element} */ (shown.lastElementChild) };
	}
	const box = document.createElement("div");
	box.className = "upload card-foot";
	const bar = document.createElement("progress");
	bar.setAttribute("aria-label", "Sending");
	const text = document.createElement("p");
	text.className = "small muted";
	box.append(bar, text);
	form.append(box);
	return { bar, text };
}
