// The style sheet of the HTML report: system fonts, light and dark, paper. Nothing is fetched.
#include "runtime/view/report/html_parts.h"

namespace runbook::report {

std::string_view style() {
    return R"css(
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --sheet: #ffffff; --ink: #1b2130; --soft: #5b6577; --line: #e2e6ec; --fill: #eef1f5;
  --good: #18794e; --good-fill: #dff3e8; --bad: #b4232b; --bad-fill: #fbe4e5;
  --warn: #96590b; --warn-fill: #fdf0d8; --calm: #3b5bdb; --calm-fill: #e6ebfd;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #11141a; --sheet: #191e27; --ink: #e7eaf0; --soft: #9aa5b8; --line: #2b3340; --fill: #232a35;
    --good: #5fcf98; --good-fill: #15352a; --bad: #ff8a8f; --bad-fill: #42191d;
    --warn: #f0b95c; --warn-fill: #3b2c12; --calm: #93a9ff; --calm-fill: #212b50;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif;
  -webkit-text-size-adjust: 100%; }
main { max-width: 1120px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 28px; line-height: 1.2; margin: 2px 0 4px; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 36px 0 12px; letter-spacing: -0.005em; }
h3 { font-size: 13px; margin: 0 0 8px; color: var(--soft); font-weight: 600; }
p { margin: 0; }
code, .mono { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 0.88em;
  overflow-wrap: anywhere; }
.soft { color: var(--soft); }
.num { font-variant-numeric: tabular-nums; text-align: right; white-space: nowrap; }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); } .calm { color: var(--calm); }
.eyebrow { color: var(--soft); font-size: 13px; }
.summary { color: var(--soft); font-size: 16px; }
.verdict { display: flex; gap: 14px; align-items: center; margin: 20px 0 16px; padding: 16px 20px; border-radius: 12px;
  font-size: 19px; font-weight: 600; line-height: 1.35; border: 1px solid transparent; }
.verdict .sign { flex: none; width: 34px; height: 34px; border-radius: 50%; display: grid; place-items: center;
  color: var(--sheet); font-size: 18px; }
.verdict small { display: block; font-size: 14px; font-weight: 400; color: var(--ink); opacity: 0.75; }
.verdict.good { background: var(--good-fill); } .verdict.good .sign { background: var(--good); }
.verdict.bad { background: var(--bad-fill); } .verdict.bad .sign { background: var(--bad); }
.verdict.warn { background: var(--warn-fill); } .verdict.warn .sign { background: var(--warn); }
.verdict.calm { background: var(--calm-fill); } .verdict.calm .sign { background: var(--calm); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 12px; }
.card, .facts > div, .panel { background: var(--sheet); border: 1px solid var(--line); border-radius: 12px;
  padding: 14px 16px; }
.card .big { font-size: 25px; font-weight: 650; line-height: 1.25; font-variant-numeric: tabular-nums; }
.card .note { color: var(--soft); font-size: 13px; }
.meter { position: relative; height: 6px; border-radius: 3px; background: var(--fill); margin: 8px 0 6px; overflow: hidden; }
.meter i { position: absolute; inset: 0 auto 0 0; border-radius: 3px; background: currentColor; }
.meter b { position: absolute; top: 0; bottom: 0; width: 2px; background: var(--ink); opacity: 0.55; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(250px, 1fr)); gap: 12px; margin-top: 12px; }
.facts ul { margin: 0; padding: 0 0 0 17px; } .facts li { margin: 3px 0; overflow-wrap: anywhere; }
.panel { padding: 6px 0; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: 12.5px; white-space: nowrap; }
th, td { padding: 7px 12px; vertical-align: top; border-bottom: 1px solid var(--line); }
tbody tr:last-child > td { border-bottom: 0; }
th:first-child, td:first-child { padding-left: 16px; } th:last-child, td:last-child { padding-right: 16px; }
td { overflow-wrap: anywhere; } td.name { font-weight: 600; min-width: 9em; overflow-wrap: normal; }
td.status { white-space: nowrap; } td.name .soft { font-weight: 400; }
td.time { width: 1%; white-space: nowrap; font-variant-numeric: tabular-nums; } 
.phase td { background: var(--fill); color: var(--soft); font-weight: 600; font-size: 13px; }
.values { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 0; }
.values div { display: flex; gap: 6px; } .values div { min-width: 0; } .values dt { color: var(--soft); white-space: nowrap; } .values dd { margin: 0; overflow-wrap: anywhere; }
.source { margin: 6px 0 0; padding: 8px 12px; border-radius: 8px; background: var(--fill); white-space: pre-wrap;
  overflow-wrap: anywhere; }
.problem { padding: 12px 16px; border-bottom: 1px solid var(--line); } .problem:last-child { border-bottom: 0; }
.below { margin-top: 12px; }
.chart { padding: 6px 0 12px; min-width: 700px; }
.chart svg { display: block; width: 100%; height: auto; font-size: 13px; font-variant-numeric: tabular-nums; }
svg text { fill: var(--ink); } svg .sign { fill: currentColor; font-weight: 700; } svg .took { text-anchor: end; fill: var(--soft); }
svg .tick { fill: var(--soft); font-size: 12px; text-anchor: middle; } svg .tick.first { text-anchor: start; }
svg .tick.took { text-anchor: end; }
svg .grid { stroke: var(--line); } svg .limit { stroke: var(--warn); stroke-width: 1.5; stroke-dasharray: 5 4; } svg .worst { stroke: var(--bad); }
svg .back { stroke: var(--ink); stroke-dasharray: 2 3; } svg .retry { stroke: var(--warn); stroke-width: 2.5; }
svg .closed { fill: var(--calm-fill); opacity: 0.6; } svg .planned { fill: none; stroke: var(--soft); stroke-opacity: 0.55; }
svg .bar { fill: currentColor; } svg .mark { fill: currentColor; stroke: var(--sheet); stroke-width: 1.5; }
svg .undo { fill: var(--warn-fill); stroke: currentColor; stroke-width: 1.5; stroke-dasharray: 3 2; }
.spark { display: block; width: 260px; height: 40px; } .spark polyline { fill: none; stroke: var(--calm); stroke-width: 1.6;
  stroke-linejoin: round; } .spark circle { fill: var(--bad); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; color: var(--soft); font-size: 12.5px; padding: 8px 0 0; }
.legend { padding: 10px 16px 0; } .legend b { display: inline-block; width: 16px; height: 11px; margin-right: 6px;
  vertical-align: -1px; border-radius: 3px; }
.legend .fill { background: currentColor; } .legend .planned { border: 1px solid var(--soft); }
.legend .turned { width: 10px; height: 10px; border-radius: 1px; transform: rotate(45deg); }
.legend .retry { width: 2.5px; height: 13px; border-radius: 0; background: var(--warn); }
.legend .undo { background: var(--warn-fill); border: 1.5px dashed currentColor; } .legend .closed { background: var(--calm-fill); }
details { margin-top: 36px; } summary { cursor: pointer; font-size: 17px; font-weight: 650; padding: 4px 0 12px; }
details td { font-size: 13px; padding-top: 4px; padding-bottom: 4px; }
footer { margin-top: 36px; color: var(--soft); font-size: 13px; }
@media (max-width: 640px) { main { padding: 20px 14px 40px; } }
@media print {
  :root { --page: #fff; --sheet: #fff; --ink: #000; --soft: #444; --line: #ccc; --fill: #f2f2f2;
    --good: #18794e; --good-fill: #e8f5ee; --bad: #b4232b; --bad-fill: #fbe9ea; --warn: #96590b; --warn-fill: #fdf3e0;
    --calm: #3b5bdb; --calm-fill: #eaeefc; }
  body { font-size: 12px; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  main { max-width: none; padding: 0; }
  h2 { break-after: avoid; } tr, .card, .facts > div, .problem, .chart { break-inside: avoid; }
  .panel { overflow: visible; } .chart { min-width: 0; } details:not([open]) { display: none; }
}
)css";
}

} // namespace runbook::report
