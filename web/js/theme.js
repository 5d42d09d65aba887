/** form[data-theme-toggle] changes the theme at once, and tells the server, which keeps it in a cookie. */
import { toast } from "./toast.js";

document.addEventListener("submit", async (event) => {
	const form = /** @type {HTMLFormElement} */ (event.target);
	const pressed = event.submitter;
	if (!form.matches("[data-theme-toggle]") || !(pressed instanceof HTMLButtonElement)) {
		return;
	}
	event.preventDefault();
	document.documentElement.dataset.theme = pressed.value === "system" ? "" : pressed.value;
	for (const button of form.querySelectorAll("button[name]")) {
		button.setAttribute("aria-pressed", String(button === pressed));
	}
	try {
		const body = new URLSearchParams(/** @type {any} */ (new FormData(form, pressed)));
		await fetch(form.action, { method: "POST", body, headers: { "HX-Request": "true" } });
	} catch {
		toast("danger", "The server didn't answer, so the theme is back at the next page.");
	}
});
