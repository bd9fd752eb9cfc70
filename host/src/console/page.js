"use strict";
// Draws what /v1/overview says, every two seconds. Counters only ever grow, so that rates and latencies are worked out
// here, of what lies between two answers; the daemon keeps nothing for it. Text goes into the page as text, never as
// markup: it may have been written by a device.
(() => {
  const EVERY = 2000, HIDDEN = 15000, WINDOW = 15000, KEPT = 150, TOKEN = "aurora-token";
  const $ = (id) => document.getElementById(id);
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const narrow = matchMedia("(max-width: 720px)");
  let answers = [], past = [], failed = 0, timer = 0, last = null, seenState = "";
  const history = { in: [], published: [], shared: [], p50: [] };

  // ---- small tools
  const SVG = "http://www.w3.org/2000/svg";
  const node = (tag, attributes = {}, ...children) => {
    const made = ["svg", "path", "circle", "g", "defs", "linearGradient", "stop"].includes(tag)
      ? document.createElementNS(SVG, tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) if (value !== undefined) made.setAttribute(name, value);
    made.append(...children.filter((child) => child !== undefined && child !== null && child !== ""));
    return made;
  };
  const fill = (parent, ...children) => parent.replaceChildren(...children.filter(Boolean));
  const short = (n) => {
    if (n === null || n === undefined || Number.isNaN(n)) return "–";
    if (n < 10 && n % 1) return n.toFixed(1);
    if (n < 10000) return Math.round(n).toLocaleString("en-GB").replace(/,/g, "\u202f");
    if (n < 1e6) return (n / 1e3).toFixed(n < 1e5 ? 1 : 0) + "k";
    if (n < 1e9) return (n / 1e6).toFixed(1) + "M";
    return (n / 1e9).toFixed(1) + "G";
  };
  const exact = (n) => Math.round(n).toLocaleString("en-GB").replace(/,/g, "\u202f");
  const span = (s) => {
    if (s === null || s === undefined || Number.isNaN(s)) return ["–", ""];
    if (s < 0.001) return [String(Math.round(s * 1e6)), "µs"];
    if (s < 0.01) return [(s * 1e3).toFixed(1), "ms"];
    if (s < 1) return [String(Math.round(s * 1e3)), "ms"];
    if (s < 120) return [s < 10 ? s.toFixed(1) : String(Math.round(s)), "s"];
    if (s < 7200) return [String(Math.round(s / 60)), "min"];
    if (s < 172800) return [String(Math.round(s / 3600)), "h"];
    return [String(Math.round(s / 86400)), "d"];
  };
  const spans = (s) => span(s).join("\u202f").trim();
  const clock = (when) => new Date(when).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const ago = (ms) => spans(Math.max(0, (last.now_ms - ms) / 1000)) + " ago";
  const dot = (tone) => node("span", { class: "dot", "data-tone": tone, "aria-hidden": "true" });
  const digest = (text) => (text || "").replace(/^sha256:/, "").slice(0, 12);

  // ---- what lies between two answers
  const before = () => {
    const now = answers[answers.length - 1];
    return answers.find((one) => now.now_ms - one.now_ms <= WINDOW && one !== now) || null;
  };
  const rate = (now, then, of) => {
    if (!then) return null;
    const seconds = (now.now_ms - then.now_ms) / 1000;
    return seconds > 0 ? Math.max(0, of(now) - of(then)) / seconds : null;
  };
  const quantile = (now, then, q) => {
    if (!now || !then) return null;
    const counts = now.buckets.map((count, i) => count - then.buckets[i]);
    const all = now.count - then.count;
    if (all <= 0) return null;
    const at = counts.findIndex((count) => count >= q * all);
    const bounds = last.bounds;
    if (at < 0) return bounds[bounds.length - 1];
    const low = at ? bounds[at - 1] : 0, below = at ? counts[at - 1] : 0;
    const inside = counts[at] - below;
    return low + (bounds[at] - low) * (inside ? (q * all - below) / inside : 1);
  };
  const stage = (answer, name) => answer.stages.find((one) => one.name === name);

  // ---- what came lately: over the windows of deploy/alerts.rules.yml, as far back as the page remembers
  const MINUTE = 60000, LATELY = 10 * MINUTE, MEMORY = 15 * MINUTE, STEP = 10000;
  const byName = (all, name, of) => Object.fromEntries(all.map((one) => [name(one), of(one)]));
  const guestKey = (guest) => `${guest.slot} ${guest.present.digest}`;
  const remember = (now) => {
    const newest = past[past.length - 1];
    if (newest && now.now_ms - newest.at < STEP) return;
    past.push({
      at: now.now_ms, into: stage(now, "source").in, seconds: now.events.seconds,
      dead: byName(now.stages, (one) => one.name, (one) => one.dead_lettered),
      // Guests are not listed while they are being loaded.
      faults: now.guests.length || !newest ? byName(now.guests, guestKey, (one) => one.faults) : newest.faults,
      reconnects: byName(now.brokers, (one) => one.name, (one) => one.reconnects),
      failed: now.devices ? now.devices.verdicts.failed : 0,
    });
    while (now.now_ms - past[0].at > MEMORY) past.shift();
  };
  // A daemon that is younger than the window counted from nothing.
  const since = (now, window) => now.now_ms - now.started_ms <= window
    ? { at: now.started_ms, into: 0, seconds: { count: 0, buckets: now.bounds.map(() => 0) }, dead: {}, faults: {}, reconnects: {}, failed: 0 }
    : past.find((one) => now.now_ms - one.at <= window) || past[past.length - 1];
  const more = (count, then) => Math.max(0, count - (then || 0));
  const lately = (now) => {
    const then = since(now, LATELY);
    const dead = byName(now.stages, (one) => one.name, (one) => more(one.dead_lettered, then.dead[one.name]));
    return {
      dead, letters: Object.values(dead).reduce((sum, one) => sum + one, 0), into: more(stage(now, "source").in, then.into),
      faults: byName(now.guests, (one) => one.slot, (one) => more(one.faults, then.faults[guestKey(one)])),
      reconnects: byName(now.brokers, (one) => one.name, (one) => more(one.reconnects, then.reconnects[one.name])),
      failed: now.devices ? more(now.devices.verdicts.failed, since(now, MEMORY).failed) : 0,
      span: `in the last ${spans(Math.max(1, (now.now_ms - then.at) / 1000))}`,
    };
  };

  // ---- state
  const SIGNS = {
    well: "M5 21l9 9L35 9", warn: "M20 6v17M20 31v2", bad: "M8 8l24 24M32 8L8 32", lost: "M8 20h24", waiting: "M8 20h24",
  };
  // What workers of agents gave up, whoever wrote it there.
  const GIVEN_UP = "aurora:agent:dead_letter";
  // What befalls a guest that was to take the place of another.
  const TURNED = ["taken-back", "refused"];
  const many = (n, one, more) => `${short(n)} ${n === 1 ? one : more}`;
  // As in deploy/alerts.rules.yml, but at once: what warns or pages there is never well here.
  const LIMITS = { lag: 10000, trimmed: 5000, tasks: 200, oldest: 900, p99: 1, dead: .05, reconnects: 5 };
  const TASKS = "aurora:agent:tasks";
  const judge = (now, then, recent) => {
    // What somebody is woken for stands before what waits for the morning.
    const away = [], failing = [], page = [], warn = [];
    for (const [task, why] of Object.entries(now.state.lost)) away.push(`${task} ended: ${why}`);
    for (const [part, how] of Object.entries(now.state.parts)) if (!how.ready) away.push(`${part}: ${how.reason}`);
    if (now.state.draining) warn.push("shutting down");
    if (recent.failed > 0) page.push(`${many(recent.failed, "attestation", "attestations")} failed lately`);
    const given = now.streams.find((one) => one.name === GIVEN_UP);
    if (given && given.entries > 0) page.push(`${many(given.entries, "task", "tasks")} given up in ${GIVEN_UP}`);
    if (recent.letters > LIMITS.dead * recent.into) {
      failing.push(`${short(recent.letters)} dead letters of ${many(recent.into, "event", "events")} ${recent.span}`);
    } else if (recent.letters > 0) {
      const where = Object.keys(recent.dead).filter((name) => recent.dead[name]).join(", ");
      warn.push(`${many(recent.letters, "dead letter", "dead letters")} of ${where} ${recent.span}`);
    }
    for (const [what, why] of Object.entries(now.state.degraded)) warn.push(`${what}: ${why}`);
    for (const [slot, faults] of Object.entries(recent.faults)) if (faults) warn.push(`guest ${slot} failed ${short(faults)}× ${recent.span}`);
    if (now.devices && now.devices.health.offline > 0) warn.push(many(now.devices.health.offline, "device is offline", "devices are offline"));
    const slowest = Math.max(...[then && then.events.seconds, since(now, 5 * MINUTE).seconds].map((from) => quantile(now.events.seconds, from, .99) || 0));
    if (slowest > LIMITS.p99) warn.push(`one event in a hundred takes ${spans(slowest)} to its stream`);
    for (const stream of now.streams) for (const group of stream.groups) {
      const behind = stream.name === TASKS ? LIMITS.tasks : LIMITS.lag;
      if (group.lag > LIMITS.trimmed && group.lag > .9 * stream.entries) page.push(`${stream.name} is nearly trimmed away under ${group.name}`);
      else if (group.lag > behind) warn.push(`${group.name} is ${short(group.lag)} entries behind in ${stream.name}`);
      else if (stream.name === TASKS && group.pending > LIMITS.tasks) warn.push(`${short(group.pending)} tasks for agents are delivered and not done`);
      else if (group.oldest_seconds > LIMITS.oldest) warn.push(`${group.name} took an entry of ${stream.name} ${spans(group.oldest_seconds)} ago and keeps it`);
    }
    for (const guest of now.guests) {
      const turned = guest.history.find((event) => TURNED.includes(event.what) && now.now_ms - Date.parse(event.at) < MEMORY);
      if (turned) warn.push(`a new guest for ${guest.slot} was ${turned.what} ${ago(Date.parse(turned.at))}`);
    }
    for (const [name, count] of Object.entries(recent.reconnects)) if (count > LIMITS.reconnects) warn.push(`the connection to ${name} keeps breaking`);
    if (now.spool && now.spool.events > 0) warn.push(`${short(now.spool.events)} events wait on disk for Redis`);
    if (now.outbox && now.outbox.oldest_seconds > 300) warn.push(`other sites wait for ${spans(now.outbox.oldest_seconds)}`);
    const all = [...away, ...failing, ...page, ...warn];
    if (away.length) return ["bad", "Not ready", all];
    if (failing.length) return ["bad", "Failing", all];
    if (all.length) return ["warn", "Needs a look", all];
    return ["well", "All is well", []];
  };
  const showState = (state, word, reasons) => {
    document.body.dataset.state = state;
    const why = reasons.slice(0, 2).join("; ") + (reasons.length > 2 ? `; and ${reasons.length - 2} more` : "");
    // Only what changed is told again to who listens to the page.
    if (seenState === word + why) return;
    seenState = word + why;
    $("state").textContent = word;
    $("why").textContent = why;
    fill($("sign"), node("svg", { viewBox: "0 0 40 40" }, node("path", {
      d: SIGNS[state], fill: "none", stroke: "currentColor", "stroke-width": "5", "stroke-linecap": "round", "stroke-linejoin": "round",
    })));
    document.title = state === "well" ? `${last ? last.site : "Aurora"} · Aurora` : `${word} · ${last ? last.site : "Aurora"}`;
  };

  // ---- figures
  const spark = (values) => {
    const known = values.map((value) => value ?? 0), most = Math.max(...known, 1e-9);
    const points = known.map((value, i) => `${((i + KEPT - known.length) / (KEPT - 1) * 100).toFixed(2)},${(29 - value / most * 27).toFixed(2)}`);
    const line = (d, colour) => node("path", { d, fill: "none", stroke: colour, "stroke-width": "1.5", "vector-effect": "non-scaling-stroke", "stroke-linejoin": "round" });
    // The base is there from the first answer on: it says where zero is, and how far back the line can reach.
    return node("svg", { viewBox: "0 0 100 30", preserveAspectRatio: "none", "aria-hidden": "true" },
      line("M0,29H100", "var(--faint)"), points.length > 1 ? line(`M${points.join("L")}`, "var(--soft)") : "");
  };
  const figure = (name, [value, unit], note, tone, values) => node("div", { "data-tone": tone },
    node("dt", {}, name), node("dd", {}, value, unit ? node("small", {}, unit) : ""),
    node("dd", { class: "note" , style: undefined }, note), values ? spark(values) : "");
  const keep = (list, value) => { if (value === null || value === undefined) return; list.push(value); if (list.length > KEPT) list.shift(); };
  const perSecond = (value) => [short(value), value === null ? "" : "/s"];

  const showFigures = (now, then, recent) => {
    const seconds = (answer) => answer.events.seconds;
    const p50 = then && quantile(seconds(now), seconds(then), .5), p99 = then && quantile(seconds(now), seconds(then), .99);
    const into = rate(now, then, (a) => stage(a, "source").in), out = rate(now, then, (a) => a.events.published);
    const shared = rate(now, then, (a) => a.events.federated);
    keep(history.in, into); keep(history.published, out); keep(history.shared, shared); keep(history.p50, p50);
    const all = [
      figure("Events in", perSecond(into), `${exact(stage(now, "source").in)} since the start`, "", history.in),
      figure("Published", perSecond(out), `${exact(now.events.published)} entries, ${exact(now.events.repeated)} repeats caught`, "", history.published),
      now.outbox && figure("To other sites", perSecond(shared), `${exact(now.events.federated)} alerts acknowledged`, "", history.shared),
      figure("Receipt to stream", span(p50), p99 === null || p99 === undefined ? "no event just now" : `99 of 100 within ${spans(p99)}`, p99 > LIMITS.p99 ? "warn" : "", history.p50),
      figure("Dead letters", [short(now.dead_letters.entries), ""], `${recent.letters ? short(recent.letters) : "none"} ${recent.span}`, recent.letters ? "warn" : ""),
    ].filter(Boolean);
    $("figures").style.gridTemplateColumns = narrow.matches ? "" : `repeat(${all.length}, 1fr)`;
    fill($("figures"), ...all);
  };

  // ---- the river
  const FLOW = ["source", "normalize", "route", "federate", "inbound", "dedup", "publish"];
  const WHAT = { source: "comes in", normalize: "what it means", route: "where it goes", federate: "who may know", inbound: "what others send", dedup: "once only", publish: "stored" };
  const isIn = (now, name) => name === "federate" ? now.outbox : name !== "inbound" || now.guests.some((guest) => guest.slot.split("/")[0] === name);
  const flowOf = (now, then) => FLOW.map((name) => {
    const one = stage(now, name), was = then && stage(then, name);
    const per = (of) => rate(now, then, (a) => stage(a, name)[of]);
    // Only alerts are looked up by dedup, and publish counts what leaves the site as well; the river is all events.
    const through = rate(now, then, (a) => stage(a, a.outbox ? "federate" : "route").out);
    const passing = name === "dedup" ? rate(now, then, (a) => stage(a, a.outbox ? "federate" : "route").out + stage(a, "inbound").out) : name === "publish" ? rate(now, then, (a) => a.events.published) : per("in");
    // What other sites send has passed no other stage: it joins the river here.
    return { name, one, rate: passing, river: name === "inbound" ? through : passing, out: per("out"), dropped: per("dropped"), dead: per("dead_lettered"), retried: per("retried"),
      p50: was ? quantile(one.seconds, was.seconds, .5) : null, queue: one.queue };
  });
  const showRiver = (now, then, recent) => {
    const flow = flowOf(now, then).filter(({ name }) => isIn(now, name));
    $("stages").style.gridTemplateColumns = narrow.matches ? "" : `repeat(${flow.length}, 1fr)`;
    fill($("stages"), ...flow.map((stage) => {
      const lost = [];
      if (stage.one.dead_lettered) lost.push(`${short(stage.one.dead_lettered)} dead`);
      if (stage.one.dropped) lost.push(`${short(stage.one.dropped)} dropped`);
      const sub = stage.name === "source" ? now.sources.map((one) => one.name).join(" · ") : WHAT[stage.name];
      return node("li", {},
        node("div", { class: "name" }, stage.name, node("span", {}, sub)),
        node("div", { class: "rate" }, ...withUnit(stage.rate)),
        node("div", { class: "below" },
          stage.p50 === null ? "" : node("div", {}, node("b", {}, spans(stage.p50)), " a batch"),
          stage.queue ? node("div", { class: "tint", "data-tone": stage.queue > 2000 ? "warn" : "" }, `${short(stage.queue)} waiting`) : "",
          lost.length ? node("div", { class: recent.dead[stage.name] ? "lost" : "" }, lost.join(", ")) : ""));
    }));
    const published = rate(now, then, (a) => a.events.published), relayed = rate(now, then, (a) => stage(a, "relay").out);
    const entries = now.streams.filter((one) => one.routed).reduce((sum, one) => sum + one.entries, 0);
    const ends = [{ name: "Redis streams", rate: published, note: `${short(entries)} entries kept` }];
    if (now.outbox) ends.push({ name: "Other sites", rate: relayed, note: now.outbox.entries ? `${short(now.outbox.entries)} wait, ${spans(now.outbox.oldest_seconds)}` : "nothing waits" });
    const at = ends.length > 1 ? ["30%", "72%"] : ["50%"];
    fill($("ends"), ...ends.map((end, i) => {
      const made = node("li", {}, node("div", { class: "name" }, end.name), node("div", { class: "rate" }, ...withUnit(end.rate)), node("div", { class: "soft" }, end.note));
      made.style.top = at[i];
      return made;
    }));
    draw(flow, published, relayed, ends.length);
  };
  const withUnit = (value) => value === null ? ["–"] : [short(value), "\u202f/s"];
  const broad = (value, most, unit) => value ? unit * (.16 + .84 * Math.sqrt(value / most)) : unit * .05;

  const draw = (flow, published, relayed, ends) => {
    const water = $("water"), width = water.clientWidth, height = water.clientHeight;
    if (!width || narrow.matches) return;
    const most = Math.max(...flow.map((stage) => stage.rate || 0), published || 0, 5);
    const unit = height * .36, middle = height / 2, right = width * .78, column = right / flow.length;
    const half = flow.map((stage) => broad(stage.river, most, unit) / 2);
    const centre = flow.map((_, i) => column * (i + .5));
    const stops = (...all) => all.map(([offset, colour, opacity]) => node("stop", { offset, "stop-color": colour, "stop-opacity": opacity }));
    const gradient = node("linearGradient", { id: "g", gradientUnits: "userSpaceOnUse", x1: 0, x2: width * .8, y1: 0, y2: 0 },
      ...stops([0, "#3fd0c0", 0], [.1, "#3fd0c0", .7], [.22, "#45e0b4", .8], [.62, "#5aa2ff", .85], [.9, "#8a80ff", .9], [1, "#a58bff", .75]));
    const sinking = (id, colour) => node("linearGradient", { id, gradientUnits: "userSpaceOnUse", x1: 0, x2: 0, y1: middle, y2: height * .86 },
      ...stops([0, colour, .9], [.5, colour, .7], [1, colour, 0]));
    const joining = node("linearGradient", { id: "joining", gradientUnits: "userSpaceOnUse", x1: 0, x2: 0, y1: height * .14, y2: middle },
      ...stops([0, "#a58bff", 0], [.5, "#a58bff", .7], [1, "#a58bff", .9]));
    // Upper and lower bank, from stage to stage, then the mouths.
    const curve = (x0, y0, x1, y1) => `C${(x0 + x1) / 2} ${y0} ${(x0 + x1) / 2} ${y1} ${x1} ${y1}`;
    const mouths = ends > 1 ? [height * .3, height * .72] : [middle];
    const xs = [0, ...centre], hs = [half[0] * .55, ...half];
    const end = width * .8;
    let upper = `M0 ${middle - hs[0]}`, lower = "";
    for (let i = 1; i < xs.length; i++) upper += curve(xs[i - 1], middle - hs[i - 1], xs[i], middle - hs[i]);
    for (let i = xs.length - 1; i > 0; i--) lower += curve(xs[i], middle + hs[i], xs[i - 1], middle + hs[i - 1]);
    const x = centre[centre.length - 1], h = half[half.length - 1];
    const flows = [published, relayed].slice(0, ends), outs = flows.map((value) => broad(value, most, unit) / 2);
    const total = outs.reduce((a, b) => a + b, 0) || 1;
    let from = -h;
    const arms = outs.map((out, i) => {
      // At least a thread of the river goes each way.
      const share = Math.max(2 * h * out / total, 1), top = middle + from, y = mouths[i];
      from += share;
      return { d: `M${x} ${top}${curve(x, top, end, y - out)}V${y + out}${curve(end, y + out, x, top + share)}Z`, y, middle: top + share / 2, out, value: flows[i] };
    });
    const body = `${upper}V${middle + h}${lower}Z`;
    const children = [node("defs", {}, gradient, joining, sinking("dropped", "#7f95aa"), sinking("dead", "#ffc35c"))];
    // What joins it from above.
    const tributaries = flow.flatMap((stage, i) => {
      if (stage.name !== "inbound" || !stage.rate) return [];
      const thick = Math.min(Math.max(3, broad(stage.rate, most, unit) * .7), half[i] * 1.6), high = height * .14;
      const x = centre[i] - column * .36, y = middle - half[i] + thick / 2;
      return [{ d: `M${x - 16} ${high}C${x - 14} ${y - (y - high) * .35} ${x} ${y} ${x + 40} ${y}`, thick, value: stage.rate }];
    });
    tributaries.forEach(({ d, thick }) => children.push(node("path", { class: "line", d, stroke: "url(#joining)", "stroke-width": thick })));
    // What leaves the river: dropped on purpose, or kept as a dead letter.
    flow.forEach((stage, i) => {
      const side = (value, colour, shift) => {
        if (!value) return;
        const thick = Math.min(Math.max(3, broad(value, most, unit) * .7), half[i] * 1.6);
        const x = centre[i] + shift, y = middle + half[i] - thick / 2, deep = height * .86;
        children.push(node("path", { class: "line", d: `M${x - 40} ${y}C${x} ${y} ${x + 14} ${y + (deep - y) * .35} ${x + 16} ${deep}`, stroke: `url(#${colour})`, "stroke-width": thick }));
      };
      side(stage.dropped, "dropped", column * .36);
      side(stage.dead, "dead", column * .47);
    });
    children.push(node("path", { d: body, fill: "#070b12" }), node("path", { d: `${body}${arms.map((arm) => arm.d).join("")}`, fill: "url(#g)" }));
    // Drops, as fast as events come.
    const speed = (value) => Math.max(.5, 4.5 - 1.1 * Math.log10(1 + (value || 0)));
    const drops = (d, value, thick) => {
      if (!value) return;
      const line = node("path", { class: "drops", d, "stroke-width": thick });
      line.style.animationDuration = `${speed(value)}s`;
      children.push(line);
    };
    const run = (offset) => xs.slice(1).reduce((d, to, i) => d + curve(xs[i], middle + hs[i] * offset, to, middle + hs[i + 1] * offset), `M0 ${middle + hs[0] * offset}`);
    const value = flow[flow.length - 1].rate || flow[0].rate;
    [-.55, -.1, .45].forEach((offset, i) => drops(run(offset), value, 2 + i % 2));
    tributaries.forEach(({ d, value }) => drops(d, value, 2));
    arms.forEach((arm) => drops(`M${x} ${arm.middle}${curve(x, arm.middle, end, arm.y)}`, arm.value, 2.5));
    water.setAttribute("viewBox", `0 0 ${width} ${height}`);
    water.classList.toggle("still", still.matches);
    // The drops would start anew with every drawing; they go on where they were.
    const began = -(performance.now() / 1000);
    children.forEach((child) => { if (child.classList.contains("drops")) child.style.animationDelay = `${began % parseFloat(child.style.animationDuration)}s`; });
    fill(water, ...children);
  };

  // ---- panels
  const rows = (id, items, ...more) => fill($(id).lastElementChild, node("ul", { class: "rows" }, ...items.filter(Boolean)), ...more);
  const row = (name, value, ...under) => node("li", { class: "row" }, node("span", {}, ...[name].flat()), node("span", {}, ...[value].flat()), ...under);
  const under = (...text) => node("div", { class: "under" }, ...text);

  const showStreams = (now) => rows("p-streams", now.streams.filter((one) => one.entries || one.groups.length || one.routed).map((stream) => {
    const bar = node("i"), share = stream.length ? Math.min(1, stream.entries / stream.length) : 0;
    bar.style.width = `${(share * 100).toFixed(1)}%`;
    const groups = stream.groups.map((group) => {
      const tone = group.lag > LIMITS.lag || group.oldest_seconds > LIMITS.oldest ? "warn" : "";
      const parts = [group.lag === null ? "lag not known" : group.lag ? `${short(group.lag)} behind` : "up to date"];
      if (group.pending) parts.push(`${short(group.pending)} pending${group.oldest_seconds >= 1 ? `, oldest ${spans(group.oldest_seconds)}` : ""}`);
      return under(node("span", { class: "tint", "data-tone": tone }, `${group.name}: ${parts.join(", ")}`));
    });
    return row(stream.name, [node("b", {}, exact(stream.entries)), stream.length ? node("span", { class: "soft" }, ` of ${short(stream.length)}`) : ""],
      stream.length ? node("div", { class: "bar" }, bar) : "", ...groups);
  }));

  const BREAKER = ["well", "bad", "warn"];
  const isAgent = (guest) => guest.slot.startsWith("task/");
  const toneOf = (now, guest, recent) => BREAKER[guest.breaker] !== "well" ? BREAKER[guest.breaker] || "warn"
    : guest.refused || now.state.degraded[guest.slot] || recent.faults[guest.slot] ? "warn" : "well";
  const badgesOf = (now, guest, recent) => {
    const badges = [], degraded = now.state.degraded[guest.slot];
    if (guest.breaker) badges.push(["breaker open", "bad"]);
    if (degraded && degraded.includes("is hurried")) badges.push(["hurried", "warn"]);
    else if (degraded && !guest.breaker) badges.push(["degraded", "warn"]);
    if (recent.faults[guest.slot]) badges.push([`${many(recent.faults[guest.slot], "fault", "faults")} lately`, "warn"]);
    if (guest.on_probation) badges.push(["on probation", "warn"]);
    if (guest.installing) badges.push(["installing", ""]);
    if (guest.rehearsing) badges.push(["rehearsal", ""]);
    if (guest.refused) badges.push(["file refused", "warn"]);
    return badges.map(([text, tone]) => node("span", { class: "badge", "data-tone": tone }, text));
  };
  const pastOf = (guests, label) => {
    const past = guests.flatMap((guest) => guest.history.map((event) => ({ slot: guest.slot, ...event }))).sort((a, b) => a.at < b.at ? 1 : -1).slice(0, 5);
    return past.length ? node("ul", { class: "past", "aria-label": label }, ...past.map((event) => node("li", {}, `${ago(Date.parse(event.at))} · ${event.slot} ${event.what}: ${event.name} `, node("span", { class: "mono" }, digest(event.digest))))) : "";
  };
  const showGuests = (now, recent) => {
    const guests = now.guests.filter((guest) => !isAgent(guest));
    $("p-guests").hidden = !guests.length;
    rows("p-guests", guests.map((guest) => {
      const cost = guest.events ? `${short(guest.ns_an_event / 1000)}\u202fµs an event` : "idle";
      return row([dot(toneOf(now, guest, recent)), node("b", {}, guest.slot), " ", node("span", { class: "soft" }, guest.present.name), " ",
        ...badgesOf(now, guest, recent)], cost,
        under(node("span", { class: "mono" }, digest(guest.present.digest)), ` · ${short(guest.events)} events`, guest.faults ? node("span", { class: "tint", "data-tone": recent.faults[guest.slot] ? "warn" : "" }, `, ${many(guest.faults, "fault", "faults")}`) : "", ` · since ${spans(Math.max(0, (now.now_ms - Date.parse(guest.present.at)) / 1000))}`));
    }), pastOf(guests, "What befell guests"));
  };

  const showAgents = (now, recent) => {
    $("p-agents").hidden = !now.agents || !now.agents.length;
    if ($("p-agents").hidden) return;
    const told = (now.contents && now.contents.agents) || [];
    const guests = now.guests.filter(isAgent);
    const letters = told.flatMap((one) => (one.dead_letters || []).map((letter) => ({ agent: one.agent, ...letter }))).sort((a, b) => b.time_ms - a.time_ms);
    rows("p-agents", now.agents.map((one) => {
      const guest = guests.find((guest) => guest.slot === one.slot), badges = guest ? badgesOf(now, guest, recent) : [];
      return row([dot(guest && toneOf(now, guest, recent) !== "well" ? toneOf(now, guest, recent) : one.state === "degraded" ? "warn" : "well"), node("b", {}, one.agent), " ", node("span", { class: "soft" }, one.name), " ", ...badges],
        one.state === "working" ? `${short(one.under_way)} under way` : one.state,
        under(node("span", { class: "mono" }, digest(one.digest)), ` · ${short(one.completed)} done`, one.failed ? node("span", { class: "tint", "data-tone": "warn" }, `, ${short(one.failed)} failed`) : ""));
    }), pastOf(guests, "What befell agents"),
    letters.length ? node("ul", { class: "past", "aria-label": "Tasks given up" }, ...letters.slice(0, 3).map((one) => node("li", {}, `${ago(one.time_ms)} · ${one.agent} ${one.task_id}: ${one.reason}`))) : "");
  };

  const showBrokers = (now, then) => rows("p-brokers", now.brokers.map((broker) => {
    const part = now.state.parts[broker.name], ready = part ? part.ready : broker.connected;
    const flight = broker.in_flight ? `${short(broker.in_flight)} in flight` : "idle";
    return row([dot(ready ? "well" : "bad"), node("b", {}, broker.name), node("span", { class: "address" }, broker.address)], ready ? flight : "away",
      broker.reconnects ? under(`connected again ${short(broker.reconnects)}×`) : "", part && !part.ready ? under(node("span", { class: "tint", "data-tone": "bad" }, part.reason)) : "");
  }), now.spool ? node("ul", { class: "past" }, node("li", {}, now.spool.events ? `spool: ${short(now.spool.events)} events on disk, oldest ${spans(now.spool.oldest_seconds)}` : "spool: empty")) : "");

  const KINDS = { alert: ["alert", "alerts"], attestation: ["attestation", "attestations"], indicator: ["indicator", "indicators"],
    sighting: ["sighting", "sightings"], agent_results: ["agent result", "agent results"], audit: ["audit entry", "audit entries"], soar: ["SOAR action", "SOAR actions"] };
  const showSites = (now) => {
    const { outbox, sites, indicators } = now, known = indicators !== undefined;
    $("p-sites").hidden = !outbox && !sites && !known;
    if ($("p-sites").hidden) return;
    const shared = (now.contents && now.contents.shared) || [], items = [];
    if (outbox) {
      const sent = Object.entries(outbox.sent).filter(([, count]) => count);
      items.push(row(`acknowledged by ${outbox.stream}`, node("b", {}, exact(sent.reduce((sum, [, count]) => sum + count, 0))),
        sent.length ? under(sent.map(([what, count]) => many(count, ...(KINDS[what] || [what, what]))).join(", ")) : ""));
      items.push(row("waiting", node("b", {}, exact(outbox.entries)), outbox.entries && outbox.oldest_seconds >= 1 ? under(`the oldest for ${spans(outbox.oldest_seconds)}`) : ""));
    }
    if (sites && !sites.length) items.push(row("from other sites", "nothing yet"));
    for (const one of (sites || []).slice(0, 6)) items.push(row(["from ", node("b", {}, one.site === "?" ? "further sites" : one.site)], exact(one.stored), under(`the last ${ago(one.last_ms)}`)));
    if (sites && sites.length > 6) items.push(row(`from ${sites.length - 6} more`, exact(sites.slice(6).reduce((sum, one) => sum + one.stored, 0))));
    if (known) items.push(row("indicators in the table", node("b", {}, exact(indicators))));
    rows("p-sites", items, shared.length ? node("ul", { class: "past", "aria-label": "Shared last" }, ...shared.slice(0, 3).map((one) => node("li", {}, `${clock(one.time_ms)} ${one.title} → ${one.subject}`))) : "");
  };

  const showLetters = (now, recent) => {
    const stages = now.stages.filter((one) => one.dead_lettered);
    const reasons = (now.contents && now.contents.dead_letters) || [];
    const items = [
      row(recent.span, node("b", { class: "tint", "data-tone": recent.letters ? "warn" : "" }, exact(recent.letters))),
      row("kept, to be run again", node("b", {}, exact(now.dead_letters.entries))),
    ];
    for (const one of stages) items.push(row(`since the start, ${one.name}`, exact(one.dead_lettered)));
    rows("p-letters", items, reasons.length ? node("ul", { class: "past", "aria-label": "Reasons" },
      ...reasons.slice(0, 3).map((one) => node("li", {}, `${one.count}× ${one.stage}: ${one.reason}`))) : "");
  };

  const showDevices = (now) => {
    $("p-devices").hidden = !now.devices;
    if (!now.devices) return;
    const { health, verdicts, enrolled, unanswered } = now.devices;
    const tone = (value, bad) => (value ? bad : "");
    const troubled = (now.contents && now.contents.devices) || [];
    rows("p-devices", [
      row([dot(health.offline ? "bad" : health.stale ? "warn" : "well"), "online"], [node("b", {}, exact(health.online)), node("span", { class: "soft" }, ` of ${short(health.online + health.stale + health.offline)} heard of`)],
        health.stale || health.offline ? under(node("span", { class: "tint", "data-tone": "warn" }, `${short(health.stale)} stale, ${short(health.offline)} offline`)) : ""),
      row([dot(verdicts.failed ? "warn" : "well"), "attested"], [node("b", {}, exact(verdicts.valid)), node("span", { class: "soft" }, ` times, ${short(enrolled)} enrolled`)],
        verdicts.failed || unanswered ? under(node("span", { class: "tint", "data-tone": tone(verdicts.failed, "bad") || "warn" }, `${short(verdicts.failed)} failed, ${short(unanswered)} without an answer`)) : ""),
    ], troubled.length ? node("ul", { class: "past", "aria-label": "Devices to look at" }, ...troubled.slice(0, 3).map((one) => node("li", {},
      one.reason ? `${one.device_id} failed ${ago(one.failed_ms)}: ${one.reason}` : `${one.device_id} ${one.health}, heard ${ago(one.heard_ms)}`))) : "");
  };

  const showViewers = (now) => {
    $("p-viewers").hidden = !now.viewers.length;
    rows("p-viewers", now.viewers.map((one) => row([dot(one.reading ? "well" : "bad"), `/ws/${one.feed}`], [node("b", {}, exact(one.clients)), one.clients === 1 ? " viewer" : " viewers", node("span", { class: "soft" }, `, ${short(one.sent)} messages`)])));
  };

  const showAlerts = (now) => {
    const alerts = (now.contents && now.contents.alerts) || [];
    $("p-alerts").hidden = !alerts.length;
    fill($("p-alerts").lastElementChild, node("ul", { class: "events" }, ...alerts.map((one) => node("li", { "data-severity": one.severity },
      node("time", { class: "soft" }, clock(one.time_ms)), node("span", { class: "severity" }, one.severity), node("span", {}, one.title), node("span", { class: "soft" }, one.device_id || one.source)))));
    const unlock = $("unlock");
    unlock.hidden = false;
    unlock.textContent = now.contents ? "Hide events" : "Show events";
  };

  // ---- which panel stands in which column
  const ORDER = ["p-streams", "p-guests", "p-agents", "p-brokers", "p-sites", "p-devices", "p-letters", "p-viewers"];
  const panels = document.querySelector(".panels"), columns = [...panels.children], GAP = 16;
  const fits = () => columns.every((one) => one.scrollHeight <= one.clientHeight + 1);
  const lay = (shown, count, isDense) => {
    document.body.classList.toggle("dense", isDense);
    panels.style.gridTemplateColumns = `repeat(${count}, minmax(0, 1fr))`;
    columns.forEach((one, i) => { one.hidden = i >= count; });
    // All columns are equally broad: what a panel needs is the same in each.
    columns[0].append(...shown);
    const parts = columns.slice(0, count).map(() => ({ height: 0, panels: [] }));
    const lowest = () => parts.reduce((a, b) => b.height < a.height ? b : a);
    const needs = new Map(shown.map((one) => [one, one.offsetHeight + GAP]));
    for (const one of [...shown].sort((a, b) => needs.get(b) - needs.get(a))) {
      const part = lowest();
      part.height += needs.get(one);
      part.panels.push(one);
    }
    const events = lowest();
    parts.forEach((part, i) => columns[i].append(...shown.filter((one) => part.panels.includes(one)), ...(part === events ? [$("p-alerts")] : [])));
  };
  let placed = { key: "", needs: "" };
  const place = () => {
    const shown = ORDER.map($).filter((one) => !one.hidden);
    const key = [innerWidth, innerHeight, $("p-alerts").hidden, ...shown.map((one) => one.id)].join();
    const needed = () => shown.map((one) => one.offsetHeight).join();
    // They stay where they are, so that nobody has to look for them, until they do not fit there any more.
    if (key === placed.key && (fits() || needed() === placed.needs)) return;
    const ways = narrow.matches ? [[1, false]] : innerWidth <= 1000 ? [[2, false]] : [[3, false], [4, false], [4, true]];
    for (const [count, isDense] of ways) {
      lay(shown, count, isDense);
      if (fits()) break;
    }
    // What fits in no way is scrolled, by keys as well.
    columns.forEach((one) => { one.tabIndex = one.scrollHeight > one.clientHeight + 1 ? 0 : -1; });
    placed = { key, needs: needed() };
  };

  const show = (now) => {
    if (answers.length && (answers[answers.length - 1].started_ms !== now.started_ms)) { answers = []; past = []; }
    answers.push(now);
    while (answers.length > 2 && now.now_ms - answers[1].now_ms > WINDOW) answers.shift();
    last = now;
    const then = before();
    remember(now);
    const recent = lately(now);
    $("site").textContent = now.site;
    $("about").textContent = `Aurora ${now.version} · up ${spans((now.now_ms - now.started_ms) / 1000)}`;
    showState(...judge(now, then, recent));
    showFigures(now, then, recent); showRiver(now, then, recent); showStreams(now); showGuests(now, recent); showAgents(now, recent);
    showBrokers(now, then); showSites(now); showDevices(now); showLetters(now, recent); showViewers(now); showAlerts(now);
    place();
  };

  // ---- asking
  const ask = async () => {
    clearTimeout(timer);
    const token = sessionStorage.getItem(TOKEN), headers = token ? { authorization: `Bearer ${token}` } : {};
    try {
      const answer = await fetch("/v1/overview", { headers, cache: "no-store", signal: AbortSignal.timeout(8000) });
      if (answer.status === 401) {
        sessionStorage.removeItem(TOKEN);
        $("wrong").textContent = "That is not the token of this daemon.";
        timer = setTimeout(ask, 50);
        if (!$("ask").open) $("ask").showModal();
        return;
      }
      if (!answer.ok) throw new Error(`${answer.status}`);
      show(await answer.json());
      failed = 0;
    } catch (error) {
      failed += 1;
      // One answer that is late is no news.
      if (failed > 1 || !last) showState("lost", "No contact", [last ? `last heard at ${clock(last.now_ms)}` : "the daemon does not answer"]);
    }
    timer = setTimeout(ask, document.hidden ? HIDDEN : EVERY);
  };

  const dialog = $("ask");
  $("unlock").addEventListener("click", () => {
    if (sessionStorage.getItem(TOKEN)) { sessionStorage.removeItem(TOKEN); ask(); return; }
    $("wrong").textContent = last && last.contents_need === "a-token-configured" ? "No token is configured: set admin.token_file and restart the daemon." : "";
    dialog.showModal();
  });
  dialog.addEventListener("close", () => {
    const text = $("token").value.trim();
    $("token").value = "";
    if (dialog.returnValue === "yes" && text) { sessionStorage.setItem(TOKEN, text); ask(); }
  });
  $("full").addEventListener("click", () => document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen());
  document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
  addEventListener("resize", () => last && place());
  const redraw = () => { if (last) showRiver(last, before(), lately(last)); };
  new ResizeObserver(redraw).observe($("water"));
  narrow.addEventListener("change", () => last && show(last));
  still.addEventListener("change", redraw);
  const tick = () => { $("clock").textContent = new Date().toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" }); };
  tick(); setInterval(tick, 1000);
  ask();
})();
