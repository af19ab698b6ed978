//! What each layer does with an outcome: one table, which all of them ask.

use super::evidence::Evidence;
use crate::outcome::Outcome;

/// What an outcome means to each layer. A question that is added here does not compile until every outcome
/// has an answer to it, and an outcome does not until it has an answer to every question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Effect {
    /// The caller was left without a good answer: retry and hedge go on, and a fallback replaces it.
    pub(crate) failed: bool,
    /// The request never left our side: it is repeated elsewhere or nowhere, and costs no budget.
    pub(crate) local: bool,
    /// The other side certainly did none of the work.
    pub(crate) untouched: bool,
    /// Which requests may be sent again.
    pub(crate) resend: Resend,
    /// Where a retry may go.
    pub(crate) retry: Route,
    /// Whether it ends a race of hedged attempts, and where the next attempt may go.
    pub(crate) hedge: RaceResult,
    /// How it counts in a circuit breaker.
    pub(crate) breaker: Evaluation,
    /// How it counts for the endpoint of a set.
    pub(crate) endpoint: Evaluation,
    /// The endpoint rests, since it asked to.
    pub(crate) cools: bool,
    /// The answer says nothing about the endpoint; one that comes quickly must not make it look idle.
    pub(crate) lingers: bool,
}

/// Where another attempt may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    None,
    Anywhere,
    /// Only to an endpoint that was not tried.
    Elsewhere,
}

/// What an answer does to a race of hedged attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RaceResult {
    Wins,
    /// It wins where nothing else runs, or nothing better comes.
    WinsAlone,
    Loses(Route),
}

/// Which requests may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resend {
    None,
    Idempotent,
    /// Idempotent ones, and all where the user says so for throttles.
    Throttled,
    All,
}

/// How an attempt counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evaluation {
    Good,
    Bad,
    /// Bad where the user counts throttles.
    Throttled,
    Nothing,
}

impl Outcome {
    /// Tells whether the caller was left without a good answer: everything but `Success` and
    /// `Neutral`. These are the outcomes that a fallback replaces unless told otherwise.
    #[inline]
    #[must_use]
    pub const fn is_failed(self) -> bool {
        self.effect(&Evidence::NONE).failed
    }

    /// What it does to a race of hedged attempts, whatever is known beside it, where it does not lose: an
    /// attempt that loses has to be asked for its evidence to know where the next one may go.
    #[inline]
    pub(crate) const fn race_result(self) -> RaceResult {
        self.effect(&Evidence::NONE).hedge
    }

    /// The table: what each layer does with this outcome.
    #[inline]
    pub(crate) const fn effect(self, evidence: &Evidence) -> Effect {
        match self {
            Self::Success => SUCCESS,
            Self::Failure => Effect { untouched: evidence.untouched, ..FAILURE },
            Self::Refused if evidence.local => LOCAL_REFUSAL,
            Self::Refused => REFUSED,
            Self::Throttled { .. } => Effect {
                untouched: evidence.untouched,
                resend: if evidence.untouched { Resend::All } else { Resend::Throttled },
                breaker: if evidence.overloaded { Evaluation::Bad } else { Evaluation::Throttled },
                ..THROTTLED
            },
            Self::Unsuitable => UNSUITABLE,
            Self::Neutral => Effect { untouched: evidence.untouched, ..NEUTRAL },
        }
    }
}

const SUCCESS: Effect = Effect {
    failed: false,
    local: false,
    untouched: false,
    resend: Resend::None,
    retry: Route::None,
    hedge: RaceResult::Wins,
    breaker: Evaluation::Good,
    endpoint: Evaluation::Good,
    cools: false,
    lingers: false,
};

const FAILURE: Effect = Effect {
    failed: true,
    local: false,
    untouched: false,
    resend: Resend::Idempotent,
    retry: Route::Anywhere,
    hedge: RaceResult::Loses(Route::Anywhere),
    breaker: Evaluation::Bad,
    endpoint: Evaluation::Bad,
    cools: false,
    lingers: false,
};

/// The other side did not take the request.
const REFUSED: Effect = Effect {
    failed: true,
    local: false,
    untouched: true,
    resend: Resend::All,
    retry: Route::Anywhere,
    hedge: RaceResult::Loses(Route::Anywhere),
    breaker: Evaluation::Bad,
    endpoint: Evaluation::Bad,
    cools: false,
    lingers: false,
};

/// Our own side did not send it.
const LOCAL_REFUSAL: Effect = Effect {
    failed: true,
    local: true,
    untouched: true,
    resend: Resend::All,
    retry: Route::Elsewhere,
    hedge: RaceResult::Loses(Route::Elsewhere),
    breaker: Evaluation::Nothing,
    endpoint: Evaluation::Nothing,
    cools: false,
    lingers: true,
};

/// `untouched`, `resend` and `breaker` are those of a throttle without any evidence.
const THROTTLED: Effect = Effect {
    failed: true,
    local: false,
    untouched: false,
    resend: Resend::Throttled,
    retry: Route::Anywhere,
    hedge: RaceResult::Loses(Route::Elsewhere),
    breaker: Evaluation::Throttled,
    endpoint: Evaluation::Nothing,
    cools: true,
    lingers: false,
};

const UNSUITABLE: Effect = Effect {
    failed: true,
    local: false,
    untouched: true,
    resend: Resend::All,
    retry: Route::Elsewhere,
    hedge: RaceResult::Loses(Route::Elsewhere),
    breaker: Evaluation::Nothing,
    endpoint: Evaluation::Nothing,
    cools: false,
    lingers: true,
};

const NEUTRAL: Effect = Effect {
    failed: false,
    local: false,
    untouched: false,
    resend: Resend::Idempotent,
    retry: Route::None,
    hedge: RaceResult::WinsAlone,
    breaker: Evaluation::Nothing,
    endpoint: Evaluation::Nothing,
    cools: false,
    lingers: true,
};
