//! One service of a set, and what is said about it.

use super::cool_down::CoolDown;
use super::weight::Weight;
use crate::error::InvalidSetting;
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// One service of a balanced set, before it is [inserted](super::Endpoints::insert).
///
/// ```
/// use tower_failover::balance::Endpoint;
/// # fn example<S>(service: S) -> Result<(), tower_failover::InvalidSetting> {
/// let endpoint = Endpoint::new("eu-1", service).weight(2.0)?.tier(1).zone("eu").account("account-7");
/// # Ok(()) }
/// ```
///
/// # Defaults
///
/// Weight 1, tier 0, no zone, no account, the limit of calls in flight of the layer, no labels.
#[must_use]
pub struct Endpoint<S> {
    pub(crate) name: Arc<str>,
    pub(crate) service: S,
    pub(crate) weight: f32,
    pub(crate) tier: u8,
    pub(crate) extras: Option<Box<Extras>>,
}

/// What few endpoints have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extras {
    pub(crate) zone: Option<Arc<str>>,
    pub(crate) account: Option<Account>,
    pub(crate) max_in_flight: Option<u32>,
    pub(crate) labels: BTreeMap<Arc<str>, Arc<str>>,
}

/// Endpoints that share an account rest together.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) name: Arc<str>,
    /// Shared by all of that name, from when the endpoint is inserted.
    pub(crate) rest: Arc<CoolDown>,
}

impl<S> Endpoint<S> {
    /// Takes a service under a name, which is unique in a set.
    pub fn new(name: impl Into<Arc<str>>, service: S) -> Self {
        Self { name: name.into(), service, weight: 1.0, tier: 0, extras: None }
    }

    /// Sets its share of the traffic, in relation to the others of its tier: a [`Weight`], or a number that
    /// is checked here. Default: 1. An endpoint that is to get nothing is [drained](super::Endpoints::drain).
    ///
    /// # Errors
    ///
    /// When it is a number that is no [`Weight`].
    pub fn weight(
        mut self,
        weight: impl TryInto<Weight, Error: Into<InvalidSetting>>,
    ) -> Result<Self, InvalidSetting> {
        self.weight = weight.try_into().map_err(Into::into)?.get() as f32;
        Ok(self)
    }

    /// Sets its rank: tier 0 serves, tier 1 is its backup, and so on. Default: 0.
    pub fn tier(mut self, tier: u8) -> Self {
        self.tier = tier;
        self
    }

    /// Says where it is. Default: nowhere. The [layer](crate::balance::BalanceLayer::zones) says which are near.
    pub fn zone(mut self, zone: impl Into<Arc<str>>) -> Self {
        self.extras().zone = Some(zone.into());
        self
    }

    /// Names the account that it shares with others: they cool down together. Default: none, each for
    /// itself.
    pub fn account(mut self, account: impl Into<Arc<str>>) -> Self {
        self.extras().account = Some(Account { name: account.into(), rest: Arc::default() });
        self
    }

    /// Sets how many calls may be in flight to it, up to the ends of their bodies. Default: as the
    /// [layer](crate::balance::BalanceLayer::max_in_flight) says.
    pub fn max_in_flight(mut self, calls: NonZeroU32) -> Self {
        self.extras().max_in_flight = Some(calls.get());
        self
    }

    /// Adds a label for the [filter](crate::balance::BalanceLayer::allow) to read, such as a model that it serves.
    pub fn label(mut self, key: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        self.extras().labels.insert(key.into(), value.into());
        self
    }

    fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }
}

impl<S> fmt::Debug for Endpoint<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("name", &self.name)
            .field("weight", &self.weight)
            .field("tier", &self.tier)
            .finish_non_exhaustive()
    }
}

/// What is said about an endpoint of a set, for filters to read.
#[derive(Debug)]
pub struct EndpointInfo {
    name: Arc<str>,
    extras: Option<Box<Extras>>,
    /// Relaxed: it counts for the choices that see it.
    weight: AtomicU32,
    tier: u8,
}

impl EndpointInfo {
    pub(crate) fn new(name: Arc<str>, weight: f32, tier: u8, extras: Option<Box<Extras>>) -> Self {
        Self { name, extras, weight: AtomicU32::new(weight.to_bits()), tier }
    }

    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns its tier.
    #[must_use]
    pub const fn tier(&self) -> u8 {
        self.tier
    }

    /// Returns its weight.
    #[must_use]
    pub fn weight(&self) -> f64 {
        self.weight_f32().into()
    }

    /// Returns its zone.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        self.zone_name().map(|zone| &**zone)
    }

    /// Returns the account that it shares with others.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        Some(&*self.extras.as_ref()?.account.as_ref()?.name)
    }

    /// Returns the label with this key.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.extras.as_ref()?.labels.get(key).map(|value| &**value)
    }

    pub(crate) fn shared_name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn zone_name(&self) -> Option<&Arc<str>> {
        self.extras.as_ref()?.zone.as_ref()
    }

    #[inline]
    pub(crate) fn weight_f32(&self) -> f32 {
        f32::from_bits(self.weight.load(Relaxed))
    }

    pub(crate) fn set_weight(&self, weight: f32) {
        self.weight.store(weight.to_bits(), Relaxed);
    }

    pub(crate) fn rest(&self) -> Option<&CoolDown> {
        Some(&self.extras.as_ref()?.account.as_ref()?.rest)
    }

    pub(crate) fn max_in_flight(&self) -> Option<u32> {
        self.extras.as_ref()?.max_in_flight
    }
}
