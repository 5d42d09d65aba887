/** Streams of server-sent events that several widgets of a page share. */

/** @type {Map<string, { source: EventSource, users: number }>} */
const open = new Map();

/**
 * Listens to an event of a stream; returns what ends that. The stream is closed
 * when nobody listens any more.
 * @param {string} url
 * @param {string} name
 * @param {(data: string) => void} heard
 */
export function listen(url, name, heard) {
	const stream = open.get(url) ?? { source: new EventSource(url), users: 0 };
	open.set(url, stream);
	stream.users++;
	/** @type {(event: MessageEvent) => void} */
	const listener = (event) => heard(event.data);
	stream.source.addEventListener(name, listener);
	return () => {
		stream.source.removeEventListener(name, listener);
		stream.users--;
		if (stream.users === 0) {
			stream.source.close();
			open.delete(url);
		}
	};
}
