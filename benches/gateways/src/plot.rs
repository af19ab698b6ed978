//! The plot: for each fault of one backend, the p99 of each gateway as a bar and its slowest request as
//! a mark above it.

use crate::BoxError;
use crate::fault::Fault;
use crate::gateway::Gateway;
use crate::measure::Run;
use crate::report::{Group, median};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;

const WIDTH: i32 = 900;
const HEIGHT: i32 = 440;
/// The part in which the bars stand; above it is room for what is written over the highest.
const LEFT: i32 = 62;
const RIGHT: i32 = WIDTH - 14;
const TOP: i32 = 136;
const BOTTOM: i32 = HEIGHT - 50;
/// Between the faults, and between the bars of one.
const PANEL_GAP: i32 = 14;
const BAR_GAP: i32 = 6;

const INK: RGBColor = RGBColor(31, 35, 40);
const FAINT: RGBColor = RGBColor(101, 109, 118);
const GRID: RGBColor = RGBColor(222, 226, 230);
const PANEL: RGBColor = RGBColor(247, 248, 250);
const ERROR: RGBColor = RGBColor(190, 18, 32);

fn color(gateway: Gateway) -> RGBColor {
    match gateway {
        Gateway::Direct => FAINT,
        Gateway::Own => RGBColor(9, 105, 218),
        Gateway::EnvoyTuned => RGBColor(125, 88, 172),
        Gateway::EnvoyHedge => RGBColor(158, 127, 202),
        Gateway::NginxTuned => RGBColor(84, 142, 96),
    }
}

/// What is drawn of one gateway under one fault.
struct Bar {
    gateway: Gateway,
    p99: Option<f64>,
    max: f64,
    errors: f64,
}

struct Panel {
    fault: Fault,
    /// The p99 of all gateways before the fault.
    before: f64,
    bars: Vec<Bar>,
}

impl Panel {
    fn of(fault: Fault, runs: &[Run]) -> Option<Self> {
        let mut bars = Vec::new();
        let mut before = Vec::new();
        for gateway in Gateway::ALL {
            let Some(group) = Group::of(runs, gateway, fault) else { continue };
            let Some(max) = group.median(|run| run.during.max) else { continue };
            let p99 = group.median(|run| run.during.p99);
            bars.push(Bar { gateway, p99, max, errors: group.errors() });
            before.extend(group.runs.iter().filter_map(|run| run.before.p99));
        }
        Some(Self { fault, before: median(before)?, bars })
    }
}

/// # Errors
///
/// Where there is nothing to draw, or the file can't be written.
pub(crate) fn draw(runs: &[Run], out: &Path) -> Result<(), BoxError> {
    let panels: Vec<Panel> =
        Fault::OF_ONE.into_iter().filter_map(|fault| Panel::of(fault, runs)).collect();
    if panels.is_empty() {
        return Err("there is no run with a fault of one backend".into());
    }
    let root = SVGBackend::new(out, (WIDTH as u32, HEIGHT as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    let picture = Picture { root, scale: Scale::over(&panels) };
    picture.heading(runs, &panels)?;
    let step = (RIGHT - LEFT + PANEL_GAP) / panels.len() as i32;
    for (left, panel) in (LEFT..).step_by(step as usize).zip(&panels) {
        picture.panel(left, step - PANEL_GAP, panel)?;
    }
    picture.axis()?;
    picture.root.present()?;
    Ok(())
}

/// From milliseconds to pixels, by their logarithm.
struct Scale {
    least: f64,
    most: f64,
}

impl Scale {
    fn over(panels: &[Panel]) -> Self {
        let bars = || panels.iter().flat_map(|panel| &panel.bars);
        let lowest =
            bars().filter_map(|bar| bar.p99).chain(panels.iter().map(|panel| panel.before));
        let highest = bars().map(|bar| bar.max);
        let least = lowest.fold(f64::INFINITY, f64::min) / 3.0;
        Self { least, most: highest.fold(2.0 * least, f64::max) }
    }

    fn y(&self, ms: f64) -> i32 {
        let part = (ms.max(self.least) / self.least).ln() / (self.most / self.least).ln();
        BOTTOM - (part * f64::from(BOTTOM - TOP)).round() as i32
    }

    /// 1, 2 and 5 of each power of ten.
    fn ticks(&self) -> impl Iterator<Item = f64> {
        let powers = (-3..7).map(|power| 10_f64.powi(power));
        powers
            .flat_map(|power| [power, 2.0 * power, 5.0 * power])
            .filter(|ms| (self.least..=self.most * 1.02).contains(ms))
    }
}

struct Picture<'a> {
    root: DrawingArea<SVGBackend<'a>, Shift>,
    scale: Scale,
}

type Drawn = Result<(), BoxError>;

impl Picture<'_> {
    fn heading(&self, runs: &[Run], panels: &[Panel]) -> Drawn {
        let title = "How long callers wait while one of three backends fails";
        self.text(title, (16, 14), Font::new(20.0, INK, HPos::Left).bold())?;
        let rounds = Group::all(runs).iter().map(|group| group.runs.len()).max().unwrap_or(0);
        let rounds = match rounds {
            1 => "one round".into(),
            rounds => format!("medians of {rounds} rounds"),
        };
        let rate = runs[0].rate;
        let facts = format!("{rate} requests a second, 7 s of fault, {rounds}, logarithmic scale");
        self.text(&facts, (16, 40), Font::new(15.0, FAINT, HPos::Left))?;

        let mut left = 16;
        for gateway in Gateway::ALL {
            if panels.iter().any(|panel| panel.bars.iter().any(|bar| bar.gateway == gateway)) {
                self.fill((left, 64), (left + 12, 76), color(gateway))?;
                self.text(gateway.title(), (left + 18, 64), Font::new(14.5, INK, HPos::Left))?;
                left += 18 + 6 * gateway.title().len() as i32 + 30;
            }
        }
        self.marks()
    }

    /// What bar, mark and dashes are, at the right.
    fn marks(&self) -> Drawn {
        let left = RIGHT - 190;
        self.fill((left, 28), (left + 16, 48), FAINT)?;
        self.line((left + 8, 16), (left + 8, 28), FAINT, 1)?;
        self.line((left + 1, 16), (left + 15, 16), FAINT, 2)?;
        self.text("slowest request", (left + 26, 11), Font::new(13.5, INK, HPos::Left))?;
        self.text("p99 of the good answers", (left + 26, 31), Font::new(13.5, INK, HPos::Left))?;
        self.dashes(left - 4, left + 20, 69)?;
        self.text("p99 before the fault", (left + 26, 64), Font::new(13.5, INK, HPos::Left))
    }

    fn dashes(&self, left: i32, right: i32, y: i32) -> Drawn {
        for dash in (left..right).step_by(8) {
            self.line((dash, y), (right.min(dash + 4), y), INK, 1)?;
        }
        Ok(())
    }

    fn axis(&self) -> Drawn {
        for tick in self.scale.ticks() {
            let label =
                if tick < 1000.0 { format!("{tick} ms") } else { format!("{} s", tick / 1e3) };
            let y = self.scale.y(tick);
            self.text(&label, (LEFT - 8, y - 5), Font::new(13.5, FAINT, HPos::Right))?;
        }
        Ok(())
    }

    fn panel(&self, left: i32, width: i32, panel: &Panel) -> Drawn {
        let right = left + width;
        self.fill((left, TOP - 48), (right, BOTTOM), PANEL)?;
        for tick in self.scale.ticks() {
            self.line((left, self.scale.y(tick)), (right, self.scale.y(tick)), GRID, 1)?;
        }
        let slot = (width - BAR_GAP) / panel.bars.len() as i32;
        for (slot_left, bar) in (left + BAR_GAP..).step_by(slot as usize).zip(&panel.bars) {
            self.bar(slot_left, slot_left + slot - BAR_GAP, bar)?;
        }
        self.dashes(left, right, self.scale.y(panel.before))?;
        self.line((left, BOTTOM), (right, BOTTOM), INK, 1)?;
        let middle = (left + right) / 2;
        self.text(
            &panel.fault.title(),
            (middle, BOTTOM + 10),
            Font::new(16.5, INK, HPos::Center).bold(),
        )
    }

    fn bar(&self, left: i32, right: i32, bar: &Bar) -> Drawn {
        let color = color(bar.gateway);
        let middle = (left + right) / 2;
        let highest = self.scale.y(bar.max);
        let mut top = BOTTOM;
        if let Some(p99) = bar.p99 {
            top = self.scale.y(p99);
            self.fill((left, top), (right, BOTTOM), color)?;
            self.text(
                &whole(p99),
                (middle, BOTTOM - 20),
                Font::new(14.0, WHITE, HPos::Center).bold(),
            )?;
        }
        self.line((middle, highest), (middle, top), color, 1)?;
        self.line((left + 5, highest), (right - 5, highest), color, 2)?;
        self.text(&whole(bar.max), (middle, highest - 14), Font::new(13.5, INK, HPos::Center))?;
        if bar.errors > 0.0 {
            let errors = if bar.errors < 0.1 {
                format!("{:.2} %", bar.errors)
            } else {
                format!("{:.1} %", bar.errors)
            };
            self.text(
                &errors,
                (middle, highest - 42),
                Font::new(13.5, ERROR, HPos::Center).bold(),
            )?;
            self.text(
                "errors",
                (middle, highest - 29),
                Font::new(13.5, ERROR, HPos::Center).bold(),
            )?;
        }
        Ok(())
    }

    fn fill(&self, from: (i32, i32), to: (i32, i32), color: RGBColor) -> Drawn {
        Ok(self.root.draw(&Rectangle::new([from, to], color.filled()))?)
    }

    fn line(&self, from: (i32, i32), to: (i32, i32), color: RGBColor, width: u32) -> Drawn {
        Ok(self.root.draw(&PathElement::new([from, to], color.stroke_width(width)))?)
    }

    /// Its upper edge is at `at`.
    fn text(&self, text: &str, at: (i32, i32), font: Font) -> Drawn {
        let Font { size, color, side, bold } = font;
        let weight = if bold { FontStyle::Bold } else { FontStyle::Normal };
        let style = ("sans-serif", size, weight).into_text_style(&self.root).color(&color);
        let style = style.pos(Pos::new(side, VPos::Top));
        Ok(self.root.draw(&Text::new(text, at, style))?)
    }
}

/// How a text is written.
#[derive(Clone, Copy)]
struct Font {
    size: f64,
    color: RGBColor,
    side: HPos,
    bold: bool,
}

impl Font {
    const fn new(size: f64, color: RGBColor, side: HPos) -> Self {
        Self { size, color, side, bold: false }
    }

    const fn bold(self) -> Self {
        Self { bold: true, ..self }
    }
}

fn whole(ms: f64) -> String {
    format!("{ms:.0}")
}
