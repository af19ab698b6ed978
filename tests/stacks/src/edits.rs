//! Edits: changes of the set and of circuits while the stack serves.

use crate::layers::Layers;
use crate::plan::Edit;
use crate::run::Run;
use crate::stack::Set;
use crate::world::lock;
use crate::{backend::Backend, clock};
use std::sync::Arc;

pub(crate) async fn make<F: Layers>(
    run: Arc<Run>,
    set: Option<Arc<Set<F>>>,
    edits: Vec<(u64, Edit)>,
) {
    for (at, edit) in edits {
        clock::sleep_until(run.world.at(at)).await;
        run.world.event();
        run.world.log(|| format!("edit {}", short(&edit)));
        match (&edit, &set) {
            (Edit::Breaker(which, what), _) => steer(&run, *which, *what),
            (_, Some(set)) => edit_set(&run, set, &edit),
            _ => {}
        }
    }
}

fn short(edit: &Edit) -> String {
    match edit {
        Edit::Insert(spec) => format!("insert {} ({} layers)", spec.name, spec.layers.len()),
        other => format!("{other:?}"),
    }
}

fn steer(run: &Run, which: u64, what: u8) {
    let built = lock(&run.built);
    let count = built.breakers.len().max(1) as u64;
    let Some(tap) = built.breakers.get((which % count) as usize).cloned() else { return };
    drop(built);
    tap.steer();
    let Some(handle) = tap.handle() else { return };
    match what {
        0 => handle.force_open(),
        1 => handle.force_closed(),
        2 => handle.observe_only(),
        _ => handle.reset(),
    }
}

/// Makes an edit, and checks that it reports whether there was such an endpoint.
fn edit_set<F: Layers>(run: &Arc<Run>, set: &Set<F>, edit: &Edit) {
    let backend = |name: &str| -> Option<Arc<Backend>> {
        lock(&set.members).get(name).map(|member| member.backend.clone())
    };
    match edit {
        Edit::Insert(spec) => set.insert(run, spec),
        Edit::Remove(name) => {
            let found = set.endpoints.remove(name);
            let member = lock(&set.members).remove(name);
            if found != member.is_some() {
                run.world.violate("remove-tells", format!("{name}: {found}"));
            }
            if let Some(member) = member {
                set.drop_member(member);
            }
        }
        Edit::Reweight(name, weight) => {
            let found = set.endpoints.reweight(name, *weight as f64).expect("sim: weight");
            if found != backend(name).is_some() {
                run.world.violate("reweight-tells", format!("{name}: {found}"));
            }
        }
        Edit::Drain(name) => {
            if set.endpoints.drain(name) {
                let backend = backend(name).expect("sim: drained a member");
                backend.leave_set();
            }
        }
        Edit::Undrain(name) => {
            if set.endpoints.undrain(name) {
                backend(name).expect("sim: undrained a member").return_to_set();
            }
        }
        Edit::Breaker(..) => {}
    }
}
