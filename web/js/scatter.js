export function scatter() { return () => {}; }
