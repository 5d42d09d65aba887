/**
 * Streams of server-sent events that several widgets of a page share.
 *
 * A browser has about six connections to a server for all of its tabs, so a tab
 * that nobody looks at gives its own back after a while.
 */

/** For how long a tab is hidden before its streams close. */
const patienceMs = 20_000;

/**
 * @typedef {object} Listener
 * @property {string} name
 * @property {(data: string) => void} heard
 * @property {() => void} missed is called when the stream has been away
 */

/** @type {Map<string, Stream>} */
const open = new Map();

class Stream {
	/** @param {string} url */
	constructor(url) {
		this.url = url;
		/** @type {Set<Listener>} */
		this.listeners = new Set();
		/** @type {EventSource | null} */
		this.source = null;
		this.hiding = 0;
		this.look = () => this.looked();
		document.addEventListener("visibilitychange", this.look);
		this.connect();
	}

	connect() {
		this.source = new EventSource(this.url);
		for (const listener of this.listeners) {
			this.attach(listener);
		}
	}

	/** @param {Listener} listener */
	attach(listener) {
		this.source?.addEventListener(listener.name, (event) => this.listeners.has(listener) && listener.heard(event.data));
	}

	looked() {
		clearTimeout(this.hiding);
		if (document.hidden) {
			this.hiding = setTimeout(() => this.disconnect(), patienceMs);
		} else if (!this.source) {
			this.connect();
			for (const listener of this.listeners) {
				listener.missed();
			}
		}
	}

	disconnect() {
		this.source?.close();
		this.source = null;
	}

	end() {
		clearTimeout(this.hiding);
		document.removeEventListener("visibilitychange", this.look);
		this.disconnect();
	}
}

/**
 * Listens to an event of a stream; returns what ends that. The stream is closed
 * when nobody listens any more.
 * @param {string} url
 * @param {Listener} listener
 */
export function listen(url, listener) {
	const stream = open.get(url) ?? new Stream(url);
	open.set(url, stream);
	stream.listeners.add(listener);
	stream.attach(listener);
	return () => {
		stream.listeners.delete(listener);
		if (stream.listeners.size === 0) {
			stream.end();
			open.delete(url);
		}
	};
}
