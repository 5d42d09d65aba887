/** Short messages at the edge of the page. */

const stays = { ok: 4000, info: 6000, danger: 12000 };

/**
 * Shows a message for a while.
 * @param {"ok" | "info" | "danger"} kind
 * @param {string} text
 */
export function toast(kind, text) {
	const place = document.querySelector("#toasts");
	const known = [...(place?.children ?? [])].some((shown) => shown.textContent === text);
	if (!place || known) {
		return;
	}
	const body = document.createElement("p");
	body.className = "alert-body";
	body.textContent = text;
	const box = document.createElement("div");
	box.className = `alert alert-${kind}`;
	box.append(body);
	box.addEventListener("click", () => box.remove());
	place.append(box);
	setTimeout(() => box.remove(), stays[kind]);
}
