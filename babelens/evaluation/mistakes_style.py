"""What the page of mistakes adds to the style sheet of reports."""

MISTAKES_STYLE = """
table{border-collapse:separate;border-spacing:0}
th,td{padding:.4rem .6rem}
thead th{white-space:normal}
thead th,caption{text-wrap:balance}
[hidden]{display:none!important}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.good{color:var(--good)}
.bad{color:var(--bad)}
.filters{background:var(--panel);border:1px solid var(--rule);border-radius:.6rem;padding:.8rem .9rem;margin:1rem 0}
.filters .bar{display:flex;flex-wrap:wrap;gap:.6rem;align-items:end}
.search{display:grid;flex:1 1 14rem;color:var(--soft);font-size:.9rem}
.search input,.filters button{font:inherit;font-size:1rem;color:var(--ink);background:var(--page);
border:1px solid var(--soft);border-radius:.4rem;padding:.4rem .6rem;min-height:2.5rem;min-width:0}
.filters button{cursor:pointer}
.filters summary{padding:.3rem 0}
fieldset{border:0;border-top:1px solid var(--rule);margin:0;padding:.4rem 0;display:flex;flex-wrap:wrap;gap:0 1rem;
min-width:0;align-items:start}
legend{float:inline-start;width:5.5rem;line-height:2rem;color:var(--soft);padding:0}
fieldset label{display:inline-flex;gap:.4rem;align-items:center;min-height:2rem;cursor:pointer}
fieldset .soft{font-size:.85rem;font-variant-numeric:tabular-nums}
label.empty{color:var(--soft)}
input[type=checkbox]{width:1.1rem;height:1.1rem;margin:0;accent-color:var(--link);flex:none}
input:focus-visible,button:focus-visible,.number:focus-visible{outline:3px solid var(--link);outline-offset:2px}
#count{font-weight:600}
.case{content-visibility:auto;contain-intrinsic-size:auto 22rem;scroll-margin-top:.5rem}
.case:target{border-color:var(--link)}
.case>header{gap:.3rem .6rem}
.case h3{font-size:1.1rem}
.case h4{margin:.2rem 0 .4rem;font-size:.95rem;font-weight:600}
.number{color:var(--soft);font-weight:400;text-decoration:none;font-variant-numeric:tabular-nums;margin-inline-end:.3rem}
.number:hover{text-decoration:underline}
.tag{padding:.1em .4em;border-radius:.35em;font-size:.82em;font-weight:650;color:var(--ink)}
.chip{border:1px solid currentColor;border-radius:1rem;padding:0 .65rem;font-size:.9rem;white-space:nowrap}
.case img{display:block;width:100%;height:auto;max-height:24rem;object-fit:contain;object-position:left top;
border-radius:.4rem}
.verdicts{margin:0 0 .6rem;display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.15rem .8rem}
.verdicts div{display:contents}
.verdicts dt{color:var(--soft)}
.verdicts dd{margin:0}
.case .sentence{line-height:1.9}
.case u.long+b{white-space:normal}
.entity u{text-decoration:underline solid 2px;text-underline-offset:.3em}
.entity.missed u{text-decoration-style:dotted}
.entity.wrong u{text-decoration:underline wavy 1.5px var(--bad)}
.entity.missed,.entity.wrong{border-color:transparent}
.case .entity.at{border:2px solid var(--ink)}
.known{list-style:none;display:flex;flex-wrap:wrap;gap:0 .5rem;margin:.2rem 0 0;padding:0;
color:var(--soft);font-size:.9rem}
.known li:not(:last-child)::after{content:"·";margin-inline-start:.5rem}
@media (max-width:44rem){
 legend{float:none;width:100%}
 .case img,.case figure>svg{max-height:16rem}
}
@media print{.filters{display:none}.case{break-inside:avoid}}
"""
