//! Short forms of settings, and handles of layers that are built already.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use tower_failover::circuit_breaker::{
    CircuitBreakerLayer, CircuitHandle, Keyed, KeyedHandle, Together,
};
use tower_failover::fallback::{FallbackHandle, FallbackLayer};
use tower_failover::hedge::{HedgeHandle, HedgeLayer};
use tower_failover::retry::{RetryHandle, RetryLayer};

pub(crate) trait NonZero {
    type Number;

    fn new(number: Self::Number) -> Option<Self>
    where
        Self: Sized;
}

macro_rules! non_zero {
    ($($type:ident of $number:ident),+) => {
        $(impl NonZero for $type {
            type Number = $number;

            fn new(number: $number) -> Option<Self> {
                Self::new(number)
            }
        })+
    };
}

non_zero!(NonZeroU32 of u32, NonZeroU64 of u64, NonZeroUsize of usize);

/// A number that is known not to be zero.
pub(crate) fn nonzero<N: NonZero>(number: N::Number) -> N {
    N::new(number).expect("it is not zero")
}

/// What a test would have taken by `with_handle` when it built the layer: its clones share the state.
pub(crate) trait Watch {
    type Handle;

    fn handle(&self) -> Self::Handle;
}

impl<C: Clone, P: Clone> Watch for RetryLayer<C, P> {
    type Handle = RetryHandle;

    fn handle(&self) -> RetryHandle {
        self.clone().with_handle().1
    }
}

impl<C: Clone, P: Clone> Watch for HedgeLayer<C, P> {
    type Handle = HedgeHandle;

    fn handle(&self) -> HedgeHandle {
        self.clone().with_handle().1
    }
}

impl<A: Clone, C: Clone, P: Clone> Watch for FallbackLayer<A, C, P> {
    type Handle = FallbackHandle;

    fn handle(&self) -> FallbackHandle {
        self.clone().with_handle().1
    }
}

impl<C: Clone, P: Clone> Watch for CircuitBreakerLayer<C, P, Together> {
    type Handle = CircuitHandle;

    fn handle(&self) -> CircuitHandle {
        self.clone().with_handle().1
    }
}

impl<C, P, F, K> Watch for CircuitBreakerLayer<C, P, Keyed<F, K>>
where
    C: Clone,
    P: Clone,
    F: Clone,
    K: std::hash::Hash + Eq + Clone + Send + Sync + 'static,
{
    type Handle = KeyedHandle<K>;

    fn handle(&self) -> KeyedHandle<K> {
        self.clone().with_handle().1
    }
}
