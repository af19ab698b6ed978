//! What is measured, and its limits.

/// What is measured, and the most that it may cost above bare.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Instructions of a service that answers at once, and of one that is pending once.
    pub(crate) instructions: [Option<f64>; 2],
    pub(crate) clock_reads: [f64; 2],
}

impl Case {
    /// To compare with.
    const fn of(name: &'static str) -> Self {
        Self { name, instructions: [None; 2], clock_reads: [f64::INFINITY; 2] }
    }

    /// At most 120 instructions where it is there at once.
    const fn a_frame(name: &'static str) -> Self {
        Self { name, instructions: [Some(120.0), None], clock_reads: [0.0, 2.0] }
    }

    const fn at_most(name: &'static str, ready: f64, pending: f64, clock_reads: [f64; 2]) -> Self {
        Self { name, instructions: [Some(ready), Some(pending)], clock_reads }
    }
}

pub(crate) const CASES: [Case; 30] = [
    Case::of("tower retry"),
    Case::of("tower retry, budget"),
    Case::of("tower hedge"),
    Case::of("tower timeout"),
    Case::at_most("retry", 50.0, 60.0, [0.0, 0.0]),
    Case::at_most("fallback to a value", 30.0, 45.0, [0.0, 0.0]),
    Case::of("fallback to a service"),
    Case::of("fallback + retry"),
    Case::at_most("breaker", 150.0, 350.0, [1.0, 2.0]),
    Case::of("breaker, after 750 calls"),
    Case::of("breaker, after 6000 calls"),
    Case::of("breaker, slow rule"),
    // a value for fallback, and tower's timeout inside
    Case::at_most("fallback + retry + breaker + timeout", 450.0, 1_250.0, [3.0, 3.0]),
    Case::at_most("hedge", 250.0, 1_100.0, [2.0, 2.0]),
    Case::at_most("balance, 2", 900.0, 1_200.0, [2.0, 2.0]),
    Case::at_most("balance, 3", 900.0, 1_200.0, [2.0, 2.0]),
    Case::at_most("balance, 10", 900.0, 1_200.0, [2.0, 2.0]),
    Case::at_most("balance, 1000", 900.0, 1_200.0, [2.0, 2.0]),
    Case::of("balance, 100000"),
    Case::at_most("tracked", 900.0, 1_200.0, [2.0, 2.0]),
    Case::of("two looks at the clock"),
    Case::of("tower p2c, 10"),
    Case::of("tower p2c, 1000"),
    Case::of("http: retry"),
    // the service says that it reads the record of the attempts, and so one is put into the request
    Case::of("http: retry, reader"),
    Case::of("http: breaker"),
    // of each frame; one that was waited for costs a look at the clock, and tokio's work for a timer
    Case::a_frame("frames: first frame"),
    Case::a_frame("frames: first event"),
    Case::a_frame("frames: stall"),
    Case::a_frame("frames: stall, all limits"),
];
