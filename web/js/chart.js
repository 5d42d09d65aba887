export function chart() { return () => {}; }
