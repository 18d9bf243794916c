/** The few bits of SVG that the pictures share. */

export function escapeText(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

export function svgText(
  x: number,
  y: number,
  content: string,
  { anchor = "start", fill = "#222222", size = 13, weight = 400 } = {},
): string {
  const style = `text-anchor="${anchor}" fill="${fill}" font-size="${size}" font-weight="${weight}"`;
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${style}>${escapeText(content)}</text>`;
}
