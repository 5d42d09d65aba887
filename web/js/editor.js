export function editor() { return () => {}; }
