"""How the report looks: the colours of the other pages, and of plots that the colour-blind can tell apart."""

STYLE = """
:root{color-scheme:light dark;--text:#1b1f24;--quiet:#57606a;--page:#fff;--line:#d8dee4;--soft:#f4f6f8;
--blue:#0072b2;--orange:#c44f00;--green:#00805d}
@media(prefers-color-scheme:dark){:root{--text:#e6edf3;--quiet:#9aa5b1;--page:#0f1419;--line:#2b333c;--soft:#182028;
--blue:#56b4e9;--orange:#f0883e;--green:#3fb68b}}
*{box-sizing:border-box}html{scroll-behavior:smooth}
body{font:16px/1.55 system-ui,sans-serif;margin:2.5rem auto;max-width:66rem;padding:0 1.25rem;color:var(--text);
background:var(--page)}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 .4rem}h2{font-size:1.3rem;margin:0 0 .8rem}
section{padding-top:2.4rem}section>h2{border-bottom:1px solid var(--line);padding-bottom:.35rem}
p{margin:.6rem 0;max-width:48rem}.quiet{color:var(--quiet)}small{font-size:.8rem;color:var(--quiet);display:block}
a{color:var(--blue)}ul{padding-left:1.2rem;max-width:48rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(12rem,1fr));gap:.75rem;margin:1.5rem 0}
.tile{background:var(--soft);border-left:.25rem solid var(--blue);border-radius:.3rem;padding:.8rem 1rem}
.tile b{display:block;font-size:1.7rem;line-height:1.2;font-variant-numeric:tabular-nums}.tile span{display:block}
nav{background:var(--soft);border-radius:.3rem;padding:1rem 1.25rem}nav h2{font-size:1rem;margin:0 0 .4rem}
nav ol{columns:13rem;margin:0;padding-left:1.6rem}
.wide{overflow-x:auto;margin:1rem 0}table{border-collapse:collapse;min-width:100%}
table.narrow{min-width:min(100%,26rem)}
caption{text-align:left;color:var(--quiet);padding:.2rem 0 .4rem;font-size:.9rem}
td,th{padding:.35rem .9rem .35rem 0;border-bottom:1px solid var(--line);text-align:left;vertical-align:top;
font-weight:400}thead th{font-weight:600;vertical-align:bottom}
.figures td,.figures thead th+th{text-align:right}
.figures td{font-variant-numeric:tabular-nums;white-space:nowrap}.text td{overflow-wrap:anywhere;min-width:9rem}
td.quiet{font-style:italic}
figure{margin:1.2rem 0}figcaption{color:var(--quiet);font-size:.9rem;margin-top:.3rem;max-width:48rem}
.chart{overflow-x:auto}.chart svg{display:block;max-width:100%;height:auto;min-width:20rem;overflow:visible}
.chart svg.flow,.chart svg.broad{min-width:36rem}
.picture img{display:block;max-width:100%;height:auto;background:#181818;border-radius:.2rem}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,22rem),1fr));gap:0 2rem;align-items:start}
.pair>*{min-width:0}
.flow rect{fill:var(--soft);stroke:var(--line);stroke-width:1.5}.flow .main{stroke:var(--blue)}
.flow .test{stroke:var(--green)}.flow .out{stroke:var(--quiet);stroke-dasharray:5 4}
.flow text{fill:var(--text);text-anchor:middle;font:14px system-ui,sans-serif}
.flow .count{font-size:20px;font-weight:600}.flow .arrow{fill:none;stroke:var(--quiet);stroke-width:1.4}
details{margin:.8rem 0}summary{cursor:pointer;color:var(--blue)}
:focus-visible{outline:2px solid var(--blue);outline-offset:2px}
@media(max-width:40rem){body{margin:1.2rem auto;padding:0 .9rem}h1{font-size:1.5rem}td,th{padding-right:.6rem}
.stack thead{display:none}.stack tr,.stack td,.stack th,.stack tbody{display:block;border:0;padding:.1rem 0}
.stack tr{border-bottom:1px solid var(--line);padding:.5rem 0}.stack th{font-weight:600}}
@media print{:root{--text:#000;--quiet:#444;--page:#fff;--line:#ccc;--soft:#f4f6f8;--blue:#0072b2;--orange:#c44f00;
--green:#00805d}body{margin:0;max-width:none;font-size:11pt}nav{display:none}figure,tr,.tile{break-inside:avoid}
h2,caption{break-after:avoid}.chart svg.flow,.chart svg.broad{min-width:0}
details::details-content{content-visibility:visible;display:block}summary{display:none}.wide,.chart{overflow:visible}}
"""
