//! The limits that our own gateway is held to.

use crate::fault::Fault;
use crate::gateway::Gateway;
use crate::measure::Run;
use crate::report::{Group, added_p50, median};

/// What is held to a limit.
#[derive(Clone, Copy)]
enum Measure {
    /// Requests in the fault, and after it, that got no 200.
    Errors,
    /// The p99 in the fault, of that before.
    P99Of,
    Max,
    Before,
    During,
    Back,
    LateError,
}

impl Measure {
    fn name(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::P99Of => "p99 of before",
            Self::Max => "max ms",
            Self::Before => "attempts before",
            Self::During => "attempts during",
            Self::Back => "back s",
            Self::LateError => "last error s",
        }
    }

    /// No round may break these; of the others the median counts.
    fn is_of_each_round(self) -> bool {
        matches!(self, Self::Errors | Self::LateError)
    }

    fn of(self, run: &Run) -> f64 {
        let never = f64::INFINITY;
        match self {
            Self::Errors => (run.during.err + run.after.err) as f64,
            Self::P99Of => match (run.during.p99, run.before.p99) {
                (Some(during), Some(before)) => during / before,
                _ => never,
            },
            Self::Max => run.during.max.unwrap_or(never),
            Self::Before => run.before.attempts_per_req,
            Self::During => run.during.attempts_per_req,
            Self::Back => run.back_s.unwrap_or(never),
            Self::LateError => run.late_error().unwrap_or(0.0),
        }
    }
}

const SLOW: Fault = Fault::Slow(40);

const LIMITS: [(Fault, Measure, f64); 21] = [
    (Fault::Kill, Measure::Errors, 0.0),
    (Fault::Fail, Measure::Errors, 0.0),
    (Fault::Hang, Measure::Errors, 0.0),
    (SLOW, Measure::P99Of, 1.6),
    (SLOW, Measure::Max, 150.0),
    (Fault::Hang, Measure::P99Of, 1.6),
    (Fault::Hang, Measure::Max, 150.0),
    (Fault::Kill, Measure::Before, 1.06),
    (Fault::Fail, Measure::Before, 1.06),
    (SLOW, Measure::Before, 1.06),
    (Fault::Hang, Measure::Before, 1.06),
    (Fault::Kill, Measure::During, 1.08),
    (Fault::Fail, Measure::During, 1.08),
    (SLOW, Measure::During, 1.08),
    (Fault::Hang, Measure::During, 1.08),
    (Fault::Kill, Measure::Back, 2.0),
    (Fault::Fail, Measure::Back, 2.0),
    (SLOW, Measure::Back, 2.0),
    (Fault::Hang, Measure::Back, 2.0),
    (Fault::FailAll, Measure::During, 1.3),
    (Fault::FailAll, Measure::LateError, 1.0),
];

/// Prints how our own gateway stands to each limit, and whether all hold; what was not measured does
/// not.
pub(crate) fn hold(runs: &[Run]) -> bool {
    println!("{:9}{:17}{:>10}{:>10}  limit", "fault", "own", "found", "worst");
    let mut all = true;
    for (fault, measure, most) in LIMITS {
        let values: Vec<f64> = Group::of(runs, Gateway::Own, fault)
            .map(|group| group.runs.iter().map(|run| measure.of(run)).collect())
            .unwrap_or_default();
        let worst = values.iter().copied().max_by(f64::total_cmp);
        let found = if measure.is_of_each_round() { worst } else { median(values) };
        all &= verdict(&fault.to_string(), measure.name(), found, worst, Some(most));
    }
    let added = added_p50(runs, Gateway::Own.name());
    let envoys = added_p50(runs, Gateway::EnvoyTuned.name());
    all & verdict("all", "added p50, ms", added, added, envoys)
}

fn verdict(
    fault: &str,
    measure: &str,
    found: Option<f64>,
    worst: Option<f64>,
    most: Option<f64>,
) -> bool {
    let (Some(found), Some(worst), Some(most)) = (found, worst, most) else {
        println!("{fault:9}{measure:17}{:>20}  NOT MEASURED", "");
        return false;
    };
    let holds = found <= most;
    let verdict = if holds { "holds" } else { "FAILS" };
    println!("{fault:9}{measure:17}{found:>10.3}{worst:>10.3}  at most {most:<7.3} {verdict}");
    holds
}
