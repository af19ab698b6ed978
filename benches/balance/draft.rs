use crate::policies::Policy;
use crate::random::Random;
use crate::scenario::{Nanos, Scenario};
use crate::world::Truth;
use std::sync::OnceLock;
#[derive(Debug)]
pub struct P { d: usize, e: i32, tl: f64, th: f64, w: f64, g: f64, k: u32, pauses: Vec<f64>, ht: f64, ramp: f64, jit: f64, tie: f64, relax: f64, ch: bool, fl: bool }
fn p() -> &'static P {
    static X: OnceLock<P> = OnceLock::new();
    X.get_or_init(|| {
        let f = |k: &str, d: f64| std::env::var(k).ok().map_or(d, |v| v.parse().unwrap());
        P { d: f("D", 8.0) as usize, e: f("E", 3.0) as i32, tl: f("TL", 2.0)*1e9, th: f("TH", 4.0)*1e9, w: f("W", 0.4), g: f("G", 0.05), k: f("K", 3.0) as u32,
            pauses: std::env::var("PA").unwrap_or("1500,1500,1500,1500,1500,4000".into()).split(',').map(|x| x.parse::<f64>().unwrap()*1e6).collect(),
            ht: f("HT", 0.5), ramp: f("RAMP", 1.0)*1e9, jit: f("J", 0.2), tie: f("TIE", 1.1), relax: f("RL", 0.0), ch: f("CH",1.0)>0.0, fl: f("FL",0.0)>0.0 }
    })
}
struct Ep { q: u32, l: f64, h: f64, at: Nanos, row: u32, out: Option<Nanos>, trial: bool, ej: usize, since: Nanos }
pub struct Draft { ep: Vec<Ep>, r: Random, order: Vec<usize>, med: f64, medat: Nanos, w: Vec<f64> }
impl Draft {
    pub fn new(s: &Scenario, r: Random) -> Self {
        let n = s.servers;
        let mean = (0..n).map(|j| s.weight(j)).sum::<f64>() / n as f64;
        Self { ep: (0..n).map(|_| Ep { q: 0, l: 0.0, h: 1.0, at: 0, row: 0, out: None, trial: false, ej: 0, since: 0 }).collect(), r, order: (0..n).collect(), med: 1e6, medat: 0, w: (0..n).map(|j| s.weight(j)/mean).collect() }
    }
    fn health(e: &Ep, now: Nanos) -> f64 { 1.0 - (1.0 - e.h) * (-((now - e.at) as f64) / p().th).exp() }
    fn cost(&self, j: usize, now: Nanos, first: bool) -> f64 {
        let e = &self.ep[j];
        let mut l = if e.l == 0.0 { self.med } else { e.l };
        if p().relax > 0.0 { l = self.med + (l - self.med) * (-((now - e.at) as f64) / (p().relax*1e9)).exp(); }
        let w = self.w[j]; let base = if first || !p().ch { w } else { w.max(1.0) };
        l * (base + e.q as f64) / w / Self::health(e, now).powi(p().e)
    }
}
impl Policy for Draft {
    fn pick(&mut self, now: Nanos, _: &Truth<'_>) -> usize {
        if now > self.medat + 100_000_000 || self.medat == 0 {
            self.medat = now;
            let mut v: Vec<f64> = self.ep.iter().map(|e| e.l).filter(|l| *l > 0.0).collect();
            if !v.is_empty() { v.sort_by(f64::total_cmp); self.med = v[v.len()/2]; }
        }
        let n = self.ep.len();
        let d = p().d.min(n);
        let mut best = (f64::INFINITY, usize::MAX);
        let uneven = self.w.iter().any(|w| (*w - 1.0).abs() > 1e-9);
        let mut i = 0;
        let mut tot: f64 = 0.0;
        if uneven || d == n { tot = self.w.iter().sum(); }
        while i < n && (i < d || best.1 == usize::MAX) {
            let k = if uneven {
                let mut x = self.r.unit() * tot; let mut k = i;
                for m in i..n { k = m; x -= self.w[self.order[m]]; if x <= 0.0 { break; } }
                tot -= self.w[self.order[k]];
                k
            } else { i + self.r.below(n - i) };
            self.order.swap(i, k);
            let j = self.order[i];
            i += 1;
            if let Some(until) = self.ep[j].out {
                if self.ep[j].trial || now < until { continue; }
                self.ep[j].trial = true;
                best.1 = j;
                break;
            }
            if p().ramp > 0.0 && self.ep[j].since > 0 {
                let s = (now - self.ep[j].since) as f64 / p().ramp;
                if s < 1.0 && self.r.unit() > 0.1f64.max(s) && best.1 != usize::MAX { continue; }
            }
            let c = self.cost(j, now, best.1 == usize::MAX);
            if c * p().tie < best.0 || best.1 == usize::MAX { best = (c, j); }
        }
        if best.1 == usize::MAX { best.1 = self.order[0]; }
        self.ep[best.1].q += 1;
        best.1
    }
    fn done(&mut self, j: usize, sent: Nanos, now: Nanos, good: bool) {
        let jit = 1.0 - p().jit + 2.0 * p().jit * self.r.unit();
        let e = &mut self.ep[j];
        e.q -= 1;
        let rtt = (now - sent) as f64;
        let h = Self::health(e, now);
        let pause = |n: usize| (p().pauses[n.min(p().pauses.len() - 1)] * jit) as Nanos;
        if e.out.is_some() {
            if !e.trial || sent < e.out.unwrap() { return; }
            e.trial = false;
            if good { e.out = None; e.h = p().ht; e.at = now; e.l = rtt; e.row = 0; e.since = now; e.ej = 0; }
            else { e.ej += 1; e.out = Some(now + pause(e.ej)); }
            return;
        }
        if good {
            if rtt > e.l { e.l = rtt } else { let k = (-((now - e.at) as f64) / p().tl).exp(); e.l = e.l * k + rtt * (1.0 - k); }
            e.h = h + (1.0 - h) * p().g;
            e.row = 0;
        } else {
            e.h = h * (1.0 - p().w);
            e.row += 1; if p().fl && rtt > e.l { e.l = rtt; }
            if e.row >= p().k { e.out = Some(now + pause(0)); e.trial = false; e.ej = 0; }
        }
        e.at = now;
    }
}
