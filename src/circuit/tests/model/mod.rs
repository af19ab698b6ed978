//! The whole circuit against a model that keeps every outcome in a list and has no eras, no words and
//! no atomics: milliseconds, plain states, and windows that are emptied by emptying them.

mod counted;
mod plain;

use self::counted::{Limit, Rule, Span};
use self::plain::{Asked, Call, Model, Terms};
use super::*;
use crate::trip::{Consecutive, FailureRatio, Failures, SlowRatio, TripRule};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

#[derive(Clone, Copy, Debug)]
enum Event {
    Ask,
    /// One of the calls that are out ends.
    End(usize, End),
    /// The head of one of them comes.
    Head(usize),
    /// So many milliseconds pass.
    Wait(u64),
    /// Time passes up to just before, at or just after something that is due.
    WaitFor(usize, i64),
    Steer(Mode),
}

impl Event {
    /// By two numbers, which is much faster to draw than a tree of choices.
    fn new(kind: u8, number: u16) -> Self {
        let which = usize::from(number);
        match kind {
            0..80 => Self::Ask,
            80..86 => Self::Head(which),
            86..100 => Self::Wait((number % 30).into()),
            100..103 => Self::Wait((number % 3_000).into()),
            103..140 => Self::WaitFor(which, i64::from(number % 3) - 1),
            140..143 => {
                let modes =
                    [Mode::Automatic, Mode::ForcedOpen, Mode::ForcedClosed, Mode::ObserveOnly];
                Self::Steer(modes[which % 4])
            }
            143 => {
                let hints = [number.into(), u64::from(number % 400), 59_999, 60_001, u64::MAX];
                Self::End(which, End { hint: Some(ms(hints[which % 5])), ..BAD })
            }
            144..185 => Self::End(which, GOOD),
            185..200 => Self::End(which, GOOD.after(ms(99 + u64::from(number % 3)))),
            200..236 => Self::End(which, BAD),
            236..240 => Self::End(which, BAD.after(ms(101))),
            240..246 => Self::End(which, NEUTRAL),
            246.. => Self::End(which, DROPPED),
        }
    }
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = any::<(u8, u16)>().prop_map(|(kind, number)| Event::new(kind, number));
    prop::collection::vec(event, 10..120)
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let share = prop_oneof![Just(500_u32), Just(250), Just(1_000), Just(333), 1_u32..999];
    let ratio = (share, any::<bool>(), 0_u32..5).prop_map(|(permille, above, least)| {
        Limit::Share { permille, above: above && permille < 1_000, least }
    });
    let count = (1_u32..5).prop_map(Limit::Count);
    let time = (1_u64..40, 1_u16..=12)
        .prop_map(|(slice, buckets)| Span::Time { slice, buckets: buckets.into() });
    let span = prop_oneof![2 => time, 1 => (5_usize..9).prop_map(Span::Last)];
    let slow = prop_oneof![2 => Just(None), 1 => Just(Some(100_u64))];
    let by_share = (ratio, slow, span.clone(), any::<bool>())
        .prop_map(|(limit, slow, span, degrades)| Rule { limit, slow, span, degrades });
    let by_count = (count, span, any::<bool>()).prop_map(|(limit, span, degrades)| Rule {
        limit,
        slow: None,
        span,
        degrades,
    });
    let in_a_row = (1_u32..5, any::<bool>()).prop_map(|(count, degrades)| Rule {
        limit: Limit::InARow(count),
        slow: None,
        span: Span::Last(usize::MAX),
        degrades,
    });
    prop::collection::vec(prop_oneof![4 => by_share, 2 => by_count, 1 => in_a_row], 1..4)
}

fn terms() -> impl Strategy<Value = Terms> {
    let ramp = prop_oneof![Just(0_u64), 1_u64..300];
    (1_u64..200, 0_u64..400, 1_usize..4, 1_u32..4, 1_u64..200, ramp, 1_u64..100).prop_map(
        |(open, forget, trials, successes, lease, ramp, dwell)| Terms {
            open,
            forget,
            trials,
            successes,
            lease,
            ramp,
            dwell,
        },
    )
}

fn config(terms: &Terms) -> CircuitConfig {
    let most = ms(plain::MOST_OPEN);
    CircuitConfig {
        open_for: Backoff::exponential(ms(terms.open)).cap(most).jitter(Jitter::None),
        forget_after: ms(terms.forget),
        trials: terms.trials as u32,
        successes: terms.successes,
        trial_timeout: Some(ms(terms.lease)),
        ramp: ms(terms.ramp),
        dwell: ms(terms.dwell),
    }
}

fn rule(rule: &Rule) -> TripRule {
    /// Sets the window, and what the rule does.
    macro_rules! made {
        ($new:expr) => {{
            let new = match rule.span {
                Span::Time { slice, buckets } => {
                    $new.within(ms(slice * buckets)).buckets(buckets as u16)
                }
                Span::Last(calls) => $new.last(nonzero(calls as u32)),
            };
            if rule.degrades { new.degrade() } else { new.into() }
        }};
    }

    match (rule.limit, rule.slow) {
        (Limit::Share { permille, above, least }, slow) => {
            let share = ratio(f64::from(permille) / 1_000.0);
            match (above, slow.map(|slow| SlowRatio::slower_than(ms(slow)).min_calls(least))) {
                (false, None) => made!(FailureRatio::new(share).min_calls(least)),
                (true, None) => made!(FailureRatio::above(share).min_calls(least)),
                (false, Some(slow)) => made!(slow.ratio(share)),
                (true, Some(slow)) => made!(slow.above(share)),
            }
        }
        (Limit::Count(count), _) => made!(Failures::new(nonzero(count))),
        (Limit::InARow(count), _) if rule.degrades => Consecutive::new(nonzero(count)).degrade(),
        (Limit::InARow(count), _) => Consecutive::new(nonzero(count)).into(),
    }
}

/// A circuit and its model, and the calls that are out.
struct Pair {
    circuit: Circuit,
    model: Model,
    out: Vec<(Admission, Call)>,
}

impl Pair {
    fn new(rules: Vec<Rule>, terms: Terms, first: Era) -> Self {
        let real: Vec<_> = rules.iter().map(rule).collect();
        Self {
            circuit: Circuit::beginning_at(&real, config(&terms), 1, false, first),
            model: Model::new(rules, terms),
            out: Vec::new(),
        }
    }

    fn now(&self) -> Duration {
        ms(self.model.now)
    }

    fn run(&mut self, event: Event) -> TestCaseResult {
        let now = self.now();
        match event {
            Event::Ask => match (begin(&self.circuit, now), self.model.ask()) {
                (Ok(admission), Asked::Passes(call)) => {
                    prop_assert_eq!(admission.is_trial(), call.is_trial());
                    let watched = admission != Admission::UNWATCHED;
                    prop_assert_eq!(watched, call.is_watched());
                    self.out.push((admission, call));
                }
                (Err(refused), Asked::Refused(retry_after)) => {
                    prop_assert_eq!(refused.retry_after, retry_after.map(ms));
                    prop_assert_eq!(refused.state, self.model.state());
                }
                (real, model) => prop_assert!(false, "{real:?}, and the model: {model:?}"),
            },
            Event::End(which, how) if !self.out.is_empty() => {
                let (admission, call) = self.out.swap_remove(which % self.out.len());
                end(&self.circuit, admission, how, now);
                self.model.end(call, how);
            }
            Event::Head(which) if !self.out.is_empty() => {
                let (admission, call) = self.out[which % self.out.len()];
                if admission.is_trial() {
                    self.circuit.answered(admission, now);
                    self.model.head(call);
                }
            }
            Event::End(..) | Event::Head(_) => {}
            Event::Wait(time) => self.model.now += time,
            Event::WaitFor(which, off) => {
                let due = self.model.due();
                if !due.is_empty() {
                    let at = due[which % due.len()].saturating_add_signed(off);
                    self.model.now = at.max(self.model.now);
                }
            }
            Event::Steer(mode) => {
                self.circuit.reset(mode, now);
                self.model.reset(mode);
            }
        }
        self.compare()
    }

    fn compare(&self) -> TestCaseResult {
        let (seen, model) = (self.circuit.snapshot(self.now()), &self.model);
        prop_assert_eq!(seen.state, model.state());
        prop_assert_eq!(seen.observe_only, model.mode == Mode::ObserveOnly);
        let share = model.share();
        prop_assert!((seen.share - share).abs() < 1e-9, "{} and {}", seen.share, share);
        prop_assert_eq!(seen.trials, model.trials());
        prop_assert_eq!(seen.next_trial, model.next_trial().map(ms));
        prop_assert_eq!(seen.opened, model.opened);
        let counts = [seen.successes, seen.failures, seen.slow, seen.neutral, seen.refused];
        prop_assert_eq!(counts, model.counts);
        let windows: Vec<_> = seen.rules.iter().map(|rule| (rule.calls, rule.hits)).collect();
        prop_assert_eq!(windows, model.windows());
        Ok(())
    }
}

fn cases() -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|cases| cases.parse().ok()).unwrap_or(2_000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    /// E1, F1, F2, F3, F4, F7, F10, F12
    #[test]
    fn any_history_leads_where_the_plain_model_does(
        rules in rules(),
        terms in terms(),
        before_the_last_era in prop_oneof![Just(None), (0_u32..12).prop_map(Some)],
        events in events(),
    ) {
        let first = before_the_last_era.map_or(1, |before| crate::window::LAST_ERA - before);
        let mut pair = Pair::new(rules, terms, first);
        for event in events {
            pair.run(event)?;
        }
    }
}
