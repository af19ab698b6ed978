//! The table: medians over the rounds.

use crate::fault::Fault;
use crate::gateway::Gateway;
use crate::measure::{Phase, Run};

/// The runs of one gateway under one fault.
pub(crate) struct Group<'a> {
    pub(crate) gateway: &'a str,
    pub(crate) fault: &'a str,
    pub(crate) runs: Vec<&'a Run>,
}

impl<'a> Group<'a> {
    /// By fault, of which the gateways stand in the order in which they first appear.
    pub(crate) fn all(runs: &'a [Run]) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for run in runs {
            match groups
                .iter_mut()
                .find(|group| group.gateway == run.gw && group.fault == run.fault)
            {
                Some(group) => group.runs.push(run),
                None => {
                    groups.push(Self { gateway: &run.gw, fault: &run.fault, runs: vec![run] });
                }
            }
        }
        groups.sort_by_key(|group| group.fault);
        groups
    }

    pub(crate) fn of(runs: &'a [Run], gateway: Gateway, fault: Fault) -> Option<Self> {
        let runs: Vec<&Run> = runs.iter().filter(|run| run.is_of(gateway, fault)).collect();
        let first = *runs.first()?;
        Some(Self { gateway: &first.gw, fault: &first.fault, runs })
    }

    pub(crate) fn median(&self, value: impl Fn(&Run) -> Option<f64>) -> Option<f64> {
        median(self.runs.iter().filter_map(|run| value(run)).collect())
    }

    /// Per cent of all rounds' requests in the fault.
    pub(crate) fn errors(&self) -> f64 {
        let sum = |count: fn(&Phase) -> usize| -> usize {
            self.runs.iter().map(|run| count(&run.during)).sum()
        };
        100.0 * sum(|phase| phase.err) as f64 / sum(|phase| phase.n).max(1) as f64
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some(f64::midpoint(lower, upper))
}

/// What a gateway adds to the half of all requests while all is well, over all of its runs.
pub(crate) fn added_p50(runs: &[Run], gateway: &str) -> Option<f64> {
    let p50 = |name: &str| {
        median(runs.iter().filter(|run| run.gw == name).filter_map(|run| run.before.p50).collect())
    };
    Some(p50(gateway)? - p50(Gateway::Direct.name())?)
}

pub(crate) fn print_run(run: &Run) {
    println!(
        "{} {:8} {:12} before p50{} p99{} | during {} errors of {} p99{} max{} attempts {:.3} | after {} errors, back{} s",
        run.round,
        run.fault,
        run.gw,
        number(run.before.p50, 6, 2),
        number(run.before.p99, 6, 1),
        run.during.err,
        run.during.n,
        number(run.during.p99, 7, 1),
        number(run.during.max, 7, 1),
        run.during.attempts_per_req,
        run.after.err,
        number(run.back_s, 4, 1),
    );
}

const TIMES: &str = "    p50    p99  p99.9    max";

pub(crate) fn print_table(runs: &[Run]) {
    println!();
    println!(
        "{:22}{:>6}{:>8} |{:^28} |{:^28} |{:^14} |{:^15} |{:>7}",
        "medians of the rounds",
        "",
        "errors",
        "before, ms",
        "in the fault, ms",
        "attempts",
        "after healing",
        "added",
    );
    println!(
        "{:9}{:13}{:>6}{:>8} |{TIMES} |{TIMES} |{:>7}{:>7} |{:>8}{:>7} |{:>7}",
        "fault", "gateway", "runs", "%", "before", "during", "error s", "back s", "p50 ms",
    );
    for group in Group::all(runs) {
        print!(
            "{:9}{:13}{:>6}{:>8.2} |",
            group.fault,
            group.gateway,
            group.runs.len(),
            group.errors()
        );
        for phase in [|run: &Run| run.before.clone(), |run: &Run| run.during.clone()] {
            print!("{}", number(group.median(|run| phase(run).p50), 7, 2));
            for time in
                [|phase: Phase| phase.p99, |phase: Phase| phase.p999, |phase: Phase| phase.max]
            {
                print!("{}", number(group.median(|run| time(phase(run))), 7, 1));
            }
            print!(" |");
        }
        println!(
            "{}{} |{}{} |{}",
            number(group.median(|run| Some(run.before.attempts_per_req)), 7, 3),
            number(group.median(|run| Some(run.during.attempts_per_req)), 7, 3),
            number(group.median(Run::late_error), 8, 2),
            number(group.median(|run| run.back_s), 7, 1),
            number(added_p50(runs, group.gateway), 7, 2),
        );
    }
}

/// As wide as this, empty where there is none.
fn number(value: Option<f64>, width: usize, decimals: usize) -> String {
    value.map_or_else(|| " ".repeat(width), |value| format!("{value:>width$.decimals$}"))
}
