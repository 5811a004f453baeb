"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const root = document.documentElement;
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const length = Math.max(data.seconds, 0.1);

  // ---------------------------------------------------------------- what gives the time

  /** The sound of the talk; its parts wait in the page as base64. */
  function soundOf(element, type) {
    const parts = [...document.querySelectorAll("script.sound")].map((script) => {
      const text = atob(script.textContent.trim());
      script.remove();
      const bytes = new Uint8Array(text.length);
      for (let index = 0; index < text.length; index += 1) bytes[index] = text.charCodeAt(index);
      return bytes;
    });
    element.src = URL.createObjectURL(new Blob(parts, { type }));
    let wanted = 0; // Where to go once it can be gone to.
    element.addEventListener("loadedmetadata", () => {
      if (wanted) element.currentTime = wanted;
      wanted = 0;
    });
    return {
      get time() { return wanted || element.currentTime; },
      set time(at) {
        if (element.readyState < 1) wanted = at;
        else element.currentTime = at;
      },
      get isPlaying() { return !element.paused && !element.ended; },
      set rate(rate) { element.playbackRate = element.defaultPlaybackRate = rate; },
      play: () => element.play(),
      pause: () => element.pause(),
      onchange(changed) {
        for (const name of ["play", "pause", "ended", "seeked", "loadedmetadata"]) {
          element.addEventListener(name, changed);
        }
      },
    };
  }

  /** Time that passes without a sound, where none was kept. */
  function silence() {
    let at = 0, since = null, rate = 1, changed = () => {};
    const now = () => Math.min(length, since === null ? at : at + (performance.now() - since) / 1000 * rate);
    const go = (to) => { at = Math.min(length, Math.max(0, to)); if (since !== null) since = performance.now(); };
    return {
      get time() { return now(); },
      set time(to) { go(to); changed(); },
      get isPlaying() { return since !== null && now() < length; },
      set rate(to) { go(now()); rate = to; },
      async play() { if (now() >= length) at = 0; since = performance.now(); changed(); },
      pause() { at = now(); since = null; changed(); },
      onchange(call) { changed = call; },
    };
  }

  const player = data.sound ? soundOf(byId("audio"), data.sound) : silence();

  /** Which side is heard where; the element's own stereo until something else is asked for. */
  const mixer = {
    graph: null,
    set(wanted) {
      if (!this.graph) {
        if (wanted === "stereo") return;
        this.graph = this.built();
      }
      const half = wanted === "middle" ? 0.7 : 1;
      const gains = {
        stereo: [1, 0, 0, 1], middle: [half, half, half, half],
        user: [1, 1, 0, 0], assistant: [0, 0, 1, 1],
      }[wanted];
      this.graph.gains.forEach((gain, index) => { gain.gain.value = gains[index]; });
      this.graph.context.resume();
    },
    built() {
      const context = new AudioContext();
      const split = context.createChannelSplitter(2);
      const merge = context.createChannelMerger(2);
      context.createMediaElementSource(byId("audio")).connect(split);
      // User to left, user to right, assistant to left, assistant to right.
      const gains = [[0, 0], [0, 1], [1, 0], [1, 1]].map(([from, to]) => {
        const gain = context.createGain();
        split.connect(gain, from);
        gain.connect(merge, 0, to);
        return gain;
      });
      merge.connect(context.destination);
      return { context, gains };
    },
  };

  // ------------------------------------------------------------------------- the lines

  const rows = [...document.querySelectorAll(".row[data-from]")].map((element) => ({
    element,
    button: element.querySelector(".time"),
    from: Number(element.dataset.from),
    to: Number(element.dataset.to),
    speaker: element.dataset.speaker,
  }));
  const inTime = [...rows].sort((one, other) => one.from - other.from);
  let litNow = new Set();
  let handledAt = -Infinity; // When the reader last scrolled by hand.

  function light(time) {
    const lit = new Set(rows.filter((row) => row.from <= time && time < row.to));
    for (const row of litNow) if (!lit.has(row)) unlight(row);
    for (const row of lit) {
      if (litNow.has(row)) continue;
      row.element.classList.add("lit");
      row.button.setAttribute("aria-current", "true");
      if (player.isPlaying && performance.now() - handledAt > 4000) show(row);
    }
    litNow = lit;
  }

  function unlight(row) {
    row.element.classList.remove("lit");
    row.button.removeAttribute("aria-current");
  }

  function show(row, isSmooth = !calm.matches) {
    row.element.scrollIntoView({ block: "nearest", behavior: isSmooth ? "smooth" : "auto" });
  }

  /** The line that is being said at a time, or was said last. */
  function lineAt(time) {
    let last = inTime[0];
    for (const row of inTime) if (row.from <= time + 0.001) last = row;
    return last;
  }

  function step(by) {
    const time = player.time;
    let next;
    if (by > 0) next = inTime.find((row) => row.from > time + 0.05);
    else {
      // Within the first second of a line "back" means the line before it.
      const before = inTime.filter((row) => row.from < time - 1);
      next = before[before.length - 1] || inTime[0];
    }
    if (!next) return;
    seek(next.from);
    if (document.activeElement && document.activeElement.classList.contains("time")) {
      next.button.focus({ preventScroll: true });
    }
  }

  // ----------------------------------------------------------------------- the picture

  const lanes = byId("lanes");
  const overview = byId("overview");
  const decoded = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const peaks = { user: decoded(data.peaks.user), assistant: decoded(data.peaks.assistant) };
  const COMFORT = 55; // Pixels for a second of talk, at first.
  let scale = 0; // Pixels a second; 0: so that all of it fits.
  let colours = {};

  function readColours() {
    const style = getComputedStyle(root);
    for (const name of ["user", "assistant", "cut", "latency", "ghost", "soft", "line", "ink", "card"]) {
      colours[name] = style.getPropertyValue(`--${name}`).trim();
    }
  }

  function loudest(side, from, to) {
    const values = peaks[side];
    let most = 0;
    const end = Math.min(values.length, Math.max(Math.floor(from / data.step) + 1, Math.ceil(to / data.step)));
    for (let index = Math.max(0, Math.floor(from / data.step)); index < end; index += 1) {
      if (values[index] > most) most = values[index];
    }
    // The ear is not linear either: quiet speech is to be seen.
    return Math.sqrt(most / 255);
  }

  function prepared(canvas) {
    const width = canvas.clientWidth, height = canvas.clientHeight;
    const ratio = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    return { pen, width, height };
  }

  const fitting = () => lanes.clientWidth / length;
  const perSecond = () => Math.max(fitting(), scale || COMFORT);

  function viewStart(time) {
    const width = lanes.clientWidth / perSecond();
    if (width >= length) return 0;
    const start = calm.matches
      ? Math.floor(time / (width * 0.8)) * width * 0.8
      : time - width * 0.35;
    return Math.min(length - width, Math.max(0, start));
  }

  function draw() {
    const time = player.time;
    const start = viewStart(time);
    drawLanes(prepared(lanes), start, perSecond(), time, true);
    const isWhole = perSecond() <= fitting() * 1.001;
    overview.hidden = isWhole;
    if (!isWhole) {
      const paper = prepared(overview);
      drawLanes(paper, 0, paper.width / length, time, false);
      paper.pen.strokeStyle = colours.soft;
      paper.pen.lineWidth = 1;
      const shown = lanes.clientWidth / perSecond();
      paper.pen.strokeRect(start / length * paper.width + 0.5, 0.5, shown / length * paper.width - 1, paper.height - 1);
    }
    tell(time);
  }

  function drawLanes({ pen, width, height }, start, pps, time, isLarge) {
    const x = (at) => (at - start) * pps;
    const axis = isLarge ? 18 : 0;
    const gutter = isLarge ? 24 : 8;
    const lane = (height - axis - gutter) / 2;
    const places = { user: { top: 0, middle: lane / 2 }, assistant: { top: lane + gutter, middle: lane * 1.5 + gutter } };
    const end = start + width / pps;
    const isIn = (from, to) => to > start && from < end;
    if (isLarge) drawAxis(pen, width, height, axis, start, pps);
    for (const span of data.spans) {
      if (!isIn(span.from, span.to)) continue;
      pen.globalAlpha = time >= span.from && time < span.to ? 0.22 : 0.1;
      pen.fillStyle = colours[span.speaker];
      box(pen, x(span.from), places[span.speaker].top + 2, (span.to - span.from) * pps, lane - 4);
    }
    for (const cut of data.cuts) {
      if (isIn(cut.at, cut.at + cut.unheard)) {
        drawUnheard(pen, x(cut.at), places.assistant.top + 2, cut.unheard * pps, lane - 4, isLarge);
      }
    }
    const bar = isLarge ? 3 : 2;
    // On a grid of the time, so that bars do not dance while the picture moves.
    const first = Math.floor(start * pps / bar);
    for (const side of ["user", "assistant"]) {
      const { middle } = places[side];
      pen.fillStyle = colours[side];
      for (let index = first; index * bar < start * pps + width; index += 1) {
        const from = index * bar / pps;
        if (from > length) break;
        const half = Math.max(0.5, loudest(side, from, from + bar / pps) * (lane / 2 - 4));
        pen.globalAlpha = from < time ? 1 : 0.5;
        pen.fillRect(index * bar - start * pps, middle - half, bar - 1, half * 2);
      }
    }
    pen.globalAlpha = 1;
    for (const cut of data.cuts) {
      if (!isIn(cut.at - 1, cut.at + 1)) continue;
      if (isLarge) drawCut(pen, x(cut.at), height - axis);
      else {
        pen.fillStyle = colours.cut;
        pen.globalAlpha = 0.75;
        pen.fillRect(x(cut.at) - 0.5, lane - 2, 1, gutter + 4);
        pen.globalAlpha = 1;
      }
    }
    if (isLarge) drawWaits(pen, x, isIn, lane + gutter / 2);
    pen.fillStyle = colours.ink;
    pen.fillRect(x(time) - 0.75, 0, 1.5, height - axis);
    if (isLarge) {
      pen.beginPath();
      pen.arc(x(time), 3, 4, 0, Math.PI * 2);
      pen.fill();
    }
  }

  function box(pen, left, top, width, height) {
    pen.beginPath();
    pen.roundRect(left, top, Math.max(1, width), height, Math.min(6, Math.max(1, width) / 2));
    pen.fill();
  }

  function drawUnheard(pen, left, top, width, height, isLarge) {
    pen.save();
    pen.globalAlpha = 0.6;
    pen.beginPath();
    pen.rect(left, top, width, height);
    pen.clip();
    pen.strokeStyle = colours.ghost;
    pen.lineWidth = isLarge ? 1 : 0.5;
    pen.beginPath();
    for (let at = left - height; at < left + width; at += isLarge ? 8 : 4) {
      pen.moveTo(at, top + height);
      pen.lineTo(at + height, top);
    }
    pen.stroke();
    pen.setLineDash([4, 3]);
    pen.strokeRect(left + 0.5, top + 0.5, width - 1, height - 1);
    pen.restore();
  }

  function drawWaits(pen, x, isIn, middle) {
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "middle";
    let taken = -Infinity;
    for (const wait of data.waits) {
      if (!isIn(wait.from - 2, wait.to + 2)) continue;
      const left = x(wait.from), right = x(wait.to);
      pen.fillStyle = colours.latency;
      pen.fillRect(left, middle - 1, Math.max(1, right - left), 2);
      pen.fillRect(left, middle - 5, 1.5, 10);
      pen.fillRect(right - 1.5, middle - 5, 1.5, 10);
      // Before the bracket the user speaks, and the gutter is free.
      const text = `${wait.ms} ms`;
      const size = pen.measureText(text).width;
      const at = left - size - 6;
      if (at > taken + 4) {
        pen.fillStyle = colours.card;
        pen.globalAlpha = 0.8;
        pen.fillRect(at - 2, middle - 7, size + 4, 14);
        pen.globalAlpha = 1;
        pen.fillStyle = colours.latency;
        pen.fillText(text, at, middle + 0.5);
      }
      taken = right;
    }
  }

  function drawCut(pen, at, height) {
    pen.fillStyle = colours.cut;
    pen.fillRect(at - 1, 0, 2, height);
    pen.beginPath();
    pen.moveTo(at, height);
    pen.lineTo(at - 5, height);
    pen.lineTo(at, height - 7);
    pen.lineTo(at + 5, height);
    pen.fill();
  }

  function drawAxis(pen, width, height, axis, start, pps) {
    const every = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800].find((step) => step * pps >= 64) || 3600;
    pen.fillStyle = colours.soft;
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "middle";
    for (let at = Math.ceil(start / every) * every; (at - start) * pps < width; at += every) {
      const left = (at - start) * pps;
      pen.fillRect(left, height - axis, 1, 4);
      const text = clock(at, every < 1 ? 1 : 0);
      if (left + pen.measureText(text).width + 4 < width) pen.fillText(text, left + 4, height - axis / 2 + 1);
    }
  }

  // ---------------------------------------------------------------------- the controls

  function clock(seconds, digits) {
    const shown = Math.max(0, seconds);
    const hours = Math.floor(shown / 3600), minutes = Math.floor(shown / 60) % 60;
    const rest = Math.floor(shown % 60 * 10 ** digits) / 10 ** digits;
    const second = rest.toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
    return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${second}` : `${minutes}:${second}`;
  }

  let toldSecond = -1;
  function tell(time) {
    byId("clock").firstChild.data = `${clock(time, 1)} `;
    const second = Math.floor(time);
    if (second === toldSecond) return;
    toldSecond = second;
    lanes.setAttribute("aria-valuenow", String(second));
    const speaking = [...litNow].map((row) => row.speaker).join(" and ");
    lanes.setAttribute("aria-valuetext", `${clock(time, 0)} of ${clock(length, 0)}${speaking ? `, ${speaking} speaking` : ""}`);
  }

  function seek(to) {
    const time = Math.min(length, Math.max(0, to));
    player.time = time;
    const line = lineAt(time);
    if (line) show(line, false);
    refresh();
  }

  function toggle() {
    if (player.isPlaying) player.pause();
    else player.play().catch(() => refresh());
  }

  function faster(by) {
    const speed = byId("speed");
    speed.selectedIndex = Math.min(speed.length - 1, Math.max(0, speed.selectedIndex + by));
    player.rate = Number(speed.value);
  }

  function zoom(factor) {
    scale = Math.min(400, Math.max(fitting(), perSecond() * factor));
    refresh();
  }

  const systemDark = matchMedia("(prefers-color-scheme: dark)");
  function changeTheme() {
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : systemDark.matches;
    root.dataset.theme = isDark ? "light" : "dark";
    readColours();
    refresh();
  }

  function help() {
    const dialog = byId("keys");
    if (dialog.open) dialog.close();
    else dialog.showModal();
  }

  let isAsked = false;
  function refresh() {
    if (isAsked) return;
    isAsked = true;
    requestAnimationFrame(() => {
      isAsked = false;
      light(player.time);
      draw();
      root.classList.toggle("is-playing", player.isPlaying);
      byId("play").setAttribute("aria-label", player.isPlaying ? "Pause" : "Play");
      if (player.isPlaying) refresh();
    });
  }

  function scrub(canvas, timeAt) {
    let isDown = false;
    const go = (event) => seek(timeAt(event.clientX - canvas.getBoundingClientRect().left));
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      isDown = true;
      canvas.setPointerCapture(event.pointerId);
      go(event);
    });
    canvas.addEventListener("pointermove", (event) => { if (isDown && canvas === overview) go(event); });
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { isDown = false; });
  }

  const KEYS = {
    " ": toggle, k: toggle,
    ArrowLeft: (event) => seek(player.time - (event.shiftKey ? 1 : 5)),
    ArrowRight: (event) => seek(player.time + (event.shiftKey ? 1 : 5)),
    ArrowUp: () => step(-1), ArrowDown: () => step(1),
    Home: () => seek(0), End: () => seek(length),
    "+": () => faster(1), "=": () => faster(1), "-": () => faster(-1),
    "?": help,
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = event.target;
    if (at.closest("select") || (event.key === " " && at.closest("button, summary"))) return;
    if (byId("keys").open && event.key !== "?") return;
    const act = KEYS[event.key];
    if (!act) return;
    event.preventDefault();
    act(event);
  });

  byId("rows").addEventListener("click", (event) => {
    const element = event.target.closest(".row[data-from]");
    if (!element || event.target.closest("summary, pre, a")) return;
    if (String(getSelection())) return; // Somebody is copying words.
    seek(Number(element.dataset.from));
    if (!player.isPlaying) player.play().catch(() => refresh());
  });
  for (const name of ["wheel", "touchmove"]) {
    addEventListener(name, () => { handledAt = performance.now(); }, { passive: true });
  }
  byId("play").addEventListener("click", toggle);
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  byId("wider").addEventListener("click", () => zoom(1 / 1.6));
  byId("closer").addEventListener("click", () => zoom(1.6));
  byId("theme").addEventListener("click", changeTheme);
  byId("help").addEventListener("click", help);
  byId("speed").addEventListener("change", () => faster(0));
  byId("sound").addEventListener("change", (event) => mixer.set(event.target.value));
  byId("sides").hidden = !data.sound;
  byId("controls").hidden = false;
  scrub(lanes, (x) => viewStart(player.time) + x / perSecond());
  scrub(overview, (x) => x / overview.clientWidth * length);
  systemDark.addEventListener("change", () => { readColours(); refresh(); });
  new ResizeObserver(refresh).observe(lanes);
  player.onchange(refresh);
  readColours();
  refresh();
})();
