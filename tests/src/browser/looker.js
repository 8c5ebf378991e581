// What is seen of a page: its sizes, its contrasts, and whether the keyboard comes everywhere.
(() => {
  const channel = (text) => text.match(/[\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const contrast = (a, b) => {
    const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (light + 0.05) / (dark + 0.05);
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = channel(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const clipped = (element) => {
    for (let at = element; at; at = at.parentElement) if (getComputedStyle(at).clipPath !== "none") return true;
    return false;
  };
  const folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach((details) => (details.open = true));
  const texts = [...document.querySelectorAll("body *")].filter((element) =>
    [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()) &&
    element.getClientRects().length && !element.matches("title, style, .skip") && !clipped(element));
  const size = (element) => {
    const px = parseFloat(getComputedStyle(element).fontSize);
    const svg = element.ownerSVGElement;
    return svg ? px * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : px;
  };
  const colour = (element) => {
    const style = getComputedStyle(element);
    return channel(element.ownerSVGElement ? style.fill : style.color);
  };
  const contrasts = texts.map((element) => [contrast(colour(element), ground(element)), element.textContent.trim().slice(0, 40)]);
  const named = (control) => control.labels?.length || control.getAttribute("aria-label") || control.type === "hidden";
  const focusable = [...document.querySelectorAll("a[href], button, input:not([type=hidden]), summary, [tabindex]")];
  const before = document.activeElement;
  const unfocused = focusable.filter((element) => (element.focus(), document.activeElement !== element));
  document.activeElement?.blur?.();
  before?.focus?.();
  const seen = {
    title: document.title,
    scroll_width: document.documentElement.scrollWidth,
    least_text_px: Math.min(...texts.map(size)),
    least_contrast: contrasts.sort((a, b) => a[0] - b[0])[0],
    ground: getComputedStyle(document.body).backgroundColor,
    focusable: focusable.length,
    unfocused: unfocused.length,
    unlabelled: [...document.querySelectorAll("input, select, textarea")].filter((control) => !named(control)).length,
    unscoped: document.querySelectorAll("th:not([scope])").length,
    headings: document.querySelectorAll("h1").length,
    mains: document.querySelectorAll("main").length,
    bars: document.querySelectorAll("svg rect title").length,
  };
  folded.forEach((details) => (details.open = false));
  return seen;
})()
