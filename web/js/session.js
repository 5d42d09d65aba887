/**
 * Signing out takes what is shown away everywhere: in the other tabs, and in pages
 * that the browser keeps to show them again on the way back.
 */
const key = "themis-signed-out";
const shownAt = Date.now();

document.addEventListener("submit", (event) => {
	const form = /** @type {HTMLFormElement} */ (event.target);
	if (form.matches('form[action$="/sign-out"]')) {
		localStorage.setItem(key, String(Date.now()));
	}
});

const hide = () => {
	document.body.hidden = true; // while the page is on its way
	location.reload();
};

window.addEventListener("storage", (event) => {
	if (event.key === key) {
		hide();
	}
});

window.addEventListener("pageshow", (event) => {
	if (event.persisted && Number(localStorage.getItem(key)) >= shownAt) {
		hide();
	}
});
