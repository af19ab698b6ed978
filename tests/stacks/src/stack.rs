//! Stacks: layers around a balancer, around layers, around backends.

use crate::backend::{Backend, BackendService};
use crate::family::{BoxService, Guard};
use crate::layers::settings::nonzero;
use crate::layers::{Admission, Layers, wrap};
use crate::plan::{EndpointSpec, LayerKind, LayerSpec, Plan, Protocol};
use crate::random::Rng;
use crate::run::Run;
use crate::taps;
use crate::world::{World, lock};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use tower::BoxError;
use tower_failover::balance::{Endpoint, EndpointSnapshot, EndpointState, Endpoints, NoEndpoint};

pub(crate) struct Stack<F: Layers> {
    pub(crate) service: BoxService<F>,
    /// The endpoints of the balancer, if there is one.
    pub(crate) set: Option<Arc<Set<F>>>,
}

impl<F: Layers> Stack<F> {
    pub(crate) fn build(run: &Arc<Run>, plan: &Plan) -> Self {
        let (service, set) = match plan.balance {
            Some(seed) => {
                let (service, set) = balancer::<F>(run, plan, seed);
                (service, Some(set))
            }
            None => {
                let bare = EndpointSpec::bare(0, "e0");
                let spec = plan.endpoints.first().unwrap_or(&bare);
                (endpoint::<F>(run, spec, false).0, None)
            }
        };
        Self { service: wrap::<F>(run, &plan.layers, service), set }
    }
}

/// A backend inside its layers.
pub(crate) fn endpoint<F: Layers>(
    run: &Arc<Run>,
    spec: &EndpointSpec,
    backup: bool,
) -> (BoxService<F>, Arc<Backend>) {
    let rng = &mut Rng::new(spec.seed);
    let backend = Backend::draw(run, rng, spec.name.clone(), backup);
    lock(&run.built).backends.push(backend.clone());
    run.describe(backend.describe());
    let service = BoxService::<F>::new(BackendService::<F>::new(backend.clone()));
    (wrap::<F>(run, &spec.layers, service), backend)
}

/// A backend for a fallback.
pub(crate) fn backup<F: Layers>(run: &Arc<Run>, rng: &mut Rng) -> BoxService<F> {
    let name = format!("backup{}", run.next_backup());
    let mut spec = EndpointSpec::bare(rng.next(), name);
    if rng.chance(30) {
        let kind = rng.pick(&[LayerKind::Timeout, LayerKind::Breaker, LayerKind::Retry]);
        spec.layers.push(LayerSpec { kind, seed: rng.next() });
    }
    endpoint::<F>(run, &spec, true).0
}

/// An endpoint of the set, as it was put in.
pub(crate) struct Member {
    pub(crate) backend: Arc<Backend>,
    pub(crate) calls: Arc<AtomicU64>,
    limit: Option<u32>,
}

pub(crate) struct Set<F: Layers> {
    pub(crate) endpoints: Endpoints<BoxService<F>>,
    /// By name.
    pub(crate) members: Mutex<BTreeMap<String, Member>>,
    /// The event with which an endpoint was last dropped.
    dropped: AtomicU64,
}

/// The end of a call of an endpoint is an event.
struct EndpointCall(Arc<World>);

impl Drop for EndpointCall {
    fn drop(&mut self) {
        self.0.event();
    }
}

impl<F: Layers> Set<F> {
    fn new() -> Arc<Self> {
        let (members, dropped) = (Mutex::default(), AtomicU64::new(0));
        Arc::new(Self { endpoints: Endpoints::new(), members, dropped })
    }

    /// Drops an endpoint that is no longer in the set.
    pub(crate) fn drop_member(&self, member: Member) {
        self.dropped.store(member.backend.leave_set(), SeqCst);
    }

    /// The record of a request knows endpoints and budgets by their addresses. An endpoint may get the
    /// address of one that was dropped, and a request that went to that one then takes it for tried. From
    /// there on, the run depends on the allocator.
    fn expect_addresses_again(&self, run: &Run) {
        if run.protocol != Protocol::Plain {
            run.world.close_hash_if_any_began_before(self.dropped.load(SeqCst));
        }
    }

    pub(crate) fn insert(&self, run: &Arc<Run>, spec: &EndpointSpec) {
        self.expect_addresses_again(run);
        let (service, backend) = endpoint::<F>(run, spec, false);
        let calls = Arc::new(AtomicU64::new(0));
        let (counter, world) = (calls.clone(), run.world.clone());
        let service = taps::before::<F>(service, &run.world, move |_| {
            counter.fetch_add(1, SeqCst);
            world.event();
            Some(Box::new(EndpointCall(world.clone())) as Guard)
        });
        // apart from the backend's own draws
        let rng = &mut Rng::new(spec.seed ^ 9);
        let (endpoint, limit) = settings(Endpoint::new(spec.name.clone(), service), rng);
        run.describe(format!("{endpoint:?} limit {limit:?}"));
        self.endpoints.insert(endpoint);
        let member = Member { backend, calls, limit };
        if let Some(old) = lock(&self.members).insert(spec.name.clone(), member) {
            self.drop_member(old);
        }
    }
}

/// An endpoint's settings, and its limit of calls in flight.
fn settings<S>(endpoint: Endpoint<S>, rng: &mut Rng) -> (Endpoint<S>, Option<u32>) {
    let weight = rng.pick(&[1.0, 1.0, 0.5, 10.0, 1e-6]);
    let endpoint = endpoint.weight(weight).expect("sim: weight");
    let mut endpoint = endpoint.tier(rng.pick(&[0, 0, 0, 1, 2]));
    if rng.chance(30) {
        endpoint = endpoint.zone(rng.pick(&["z0", "z1", "z2"]));
    }
    if rng.chance(30) {
        endpoint = endpoint.account(rng.pick(&["s0", "s1"]));
    }
    let limit = rng.chance(20).then(|| rng.pick(&[1, 3]));
    if let Some(limit) = limit {
        endpoint = endpoint.max_in_flight(nonzero(limit));
    }
    (endpoint, limit)
}

fn balancer<F: Layers>(run: &Arc<Run>, plan: &Plan, seed: u64) -> (BoxService<F>, Arc<Set<F>>) {
    let set = Set::<F>::new();
    for spec in &plan.endpoints {
        set.insert(run, spec);
    }
    let (service, admission) = F::balance(run, seed, set.endpoints.clone());
    let (watched, world, sure) = (set.clone(), run.world.clone(), knows_why(run, plan));
    let service = taps::after::<F>(service, &run.world, move |error, id, called| {
        if sure {
            check_no_endpoint(&world, &watched, &admission, (error, id, called));
        }
    });
    (service, set)
}

/// Whether a `NoEndpoint` can only mean that no endpoint serves at that moment.
fn knows_why(run: &Run, plan: &Plan) -> bool {
    // where the record travels, a hedge goes to an endpoint that was not tried or nowhere
    let hedged = plan.has_outer(LayerKind::Hedge) && run.protocol != Protocol::Plain;
    // a buffer's worker calls, and others poll
    let buffered = plan.has_outer(LayerKind::Buffer);
    // a balancer that is an endpoint has errors of its own
    run.world.single && !hedged && !buffered && !plan.nests_balancers()
}

/// There is no `NoEndpoint` while an endpoint serves.
fn check_no_endpoint<F: Layers>(
    world: &World,
    set: &Set<F>,
    admission: &Admission,
    (error, id, called): (&BoxError, u64, u64),
) {
    // where nothing waits, the error was made when it was called
    let now = admission.waits || world.last_event() == called;
    if !error.is::<NoEndpoint>() || !now {
        return;
    }
    let members = lock(&set.members);
    let serves = |shot: &EndpointSnapshot| {
        let own = members.get(&*shot.name).and_then(|member| member.limit);
        let limit = [admission.limit, own].into_iter().flatten().min();
        matches!(shot.state, EndpointState::Available | EndpointState::Ramp)
            && limit.is_none_or(|limit| shot.in_flight < limit)
            && admission.filter.allows(id, &shot.name)
    };
    let free = set.endpoints.snapshot().into_iter().find(serves);
    drop(members);
    if let Some(free) = free {
        world.violate("no-endpoint-beside-one", format!("req {id} beside {free:?}"));
    }
}
