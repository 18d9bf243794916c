export interface SoakReport { ok: boolean }
export async function soak(_: { seconds: number; seed: number; dir: string; tell: (t: string) => void }): Promise<SoakReport> { return { ok: true }; }
export function soakText(_: SoakReport): string { return ""; }
