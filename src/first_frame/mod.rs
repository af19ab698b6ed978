//! Holds an answer back until its first frame is there.

mod body;
mod error;
mod events;
mod frames;
mod future;
mod judge;
mod layer;
mod messages;
mod policy;
mod service;
mod state;

pub use self::{
    body::FirstFrameBody,
    error::FirstFrameTimeout,
    events::Event,
    future::FirstFrameFuture,
    judge::{Events, Frames, Judge, Messages, Verdict},
    layer::FirstFrameLayer,
    service::FirstFrame,
};
#[doc(hidden)]
pub use self::{events::EventReader, frames::FrameReader, judge::Sight, messages::MessageReader};
