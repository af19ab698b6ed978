//! Plans: the description of a run.
//!
//! A plan is data. Each of its parts has a seed of its own, by which the part is built later, so that one
//! part can be left out without a change of the others.

mod draw;
mod shrink;

pub(crate) use draw::plan;
pub(crate) use shrink::smaller;

/// The type of requests, and how they carry the record of their attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Plain values that carry nothing.
    Plain,
    /// Plain values with a slot for the record.
    Slot,
    Http,
    Grpc,
}

impl Protocol {
    pub(crate) fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Grpc)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LayerKind {
    Retry,
    Hedge,
    Breaker,
    FallbackValue,
    FallbackService,
    FirstFrame,
    Stall,
    Timeout,
    Limit,
    Shed,
    Buffer,
    /// A balancer over what is inside and one more endpoint.
    Balanced,
}

#[derive(Clone, Debug)]
pub(crate) struct LayerSpec {
    pub(crate) kind: LayerKind,
    pub(crate) seed: u64,
}

/// A backend and the layers around it, the outermost first.
#[derive(Clone, Debug)]
pub(crate) struct EndpointSpec {
    pub(crate) seed: u64,
    pub(crate) name: String,
    pub(crate) layers: Vec<LayerSpec>,
}

impl EndpointSpec {
    /// A backend without layers.
    pub(crate) fn bare(seed: u64, name: impl Into<String>) -> Self {
        Self { seed, name: name.into(), layers: Vec::new() }
    }

    fn holds_balancer(&self) -> bool {
        self.layers.iter().any(|layer| layer.kind == LayerKind::Balanced)
    }
}

/// A change while the stack serves.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    Insert(EndpointSpec),
    Remove(String),
    Reweight(String, u64),
    Drain(String),
    Undrain(String),
    /// Steers the circuit with this number, modulo their count.
    Breaker(u64, u8),
}

#[derive(Clone, Debug)]
pub(crate) struct CallerSpec {
    pub(crate) seed: u64,
    pub(crate) start: u64,
    pub(crate) requests: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) protocol: Protocol,
    pub(crate) hangs: bool,
    pub(crate) panics: bool,
    /// No caller leaves: every request has to end by itself.
    pub(crate) patient: bool,
    /// Around the balancer, the outermost first.
    pub(crate) layers: Vec<LayerSpec>,
    /// The balancer's seed, if there is one.
    pub(crate) balance: Option<u64>,
    pub(crate) endpoints: Vec<EndpointSpec>,
    /// With the millisecond of each.
    pub(crate) edits: Vec<(u64, Edit)>,
    pub(crate) callers: Vec<CallerSpec>,
}

impl Plan {
    /// All endpoints that are ever in the set.
    fn members(&self) -> impl Iterator<Item = &EndpointSpec> {
        let inserted = self.edits.iter().filter_map(|(_, edit)| match edit {
            Edit::Insert(spec) => Some(spec),
            _ => None,
        });
        self.endpoints.iter().chain(inserted)
    }

    /// Whether an endpoint of this name ever has layers.
    pub(crate) fn has_layers(&self, name: &str) -> bool {
        self.members().any(|spec| spec.name == name && !spec.layers.is_empty())
    }

    /// Whether an endpoint of the set ever holds a balancer of its own.
    pub(crate) fn nests_balancers(&self) -> bool {
        self.members().any(EndpointSpec::holds_balancer)
    }

    /// Whether such a layer is outside of the balancer.
    pub(crate) fn has_outer(&self, kind: LayerKind) -> bool {
        self.layers.iter().any(|layer| layer.kind == kind)
    }

    pub(crate) fn requests(&self) -> u64 {
        self.callers.iter().map(|caller| caller.requests).sum()
    }
}
