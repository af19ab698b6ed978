//! How a request is copied for another attempt, and how the record of its attempts travels.
//!
//! One type parameter of every layer answers both, and the constructor of the layer chooses it:
//!
//! | constructor | kind | requests | copied | carries |
//! |---|---|---|---|---|
//! | `plain()` | [`Plain`] | any `Clone` type | by `Clone` | nothing |
//! | `plain().kind(..)` | [`CopyWith`] | any type | by your function | nothing |
//! | `plain().kind(..)` | [`Slot`] | any `Clone` type | by `Clone` | [`Attempts`], in a field of yours |
//! | `http()`, `grpc()` | [`Http`] | `http::Request` | head and frames, see [`ReplayBody`] | [`Attempts`], in the extensions |
//!
//! [`Attempts`]: crate::Attempts
//! [`ReplayBody`]: self::ReplayBody

#[cfg(feature = "http")]
mod body;
#[cfg(feature = "http")]
mod buffer;
#[cfg(feature = "http")]
mod http;
mod kind;
mod plain;

#[cfg(feature = "http")]
#[doc(hidden)]
pub use self::http::HttpCopies;
#[cfg(feature = "http")]
pub(crate) use self::http::http_kind_setters;
pub use self::kind::Replay;
pub use self::plain::{CopyWith, Plain, Slot};
#[cfg(feature = "http")]
pub use self::{
    body::{MapBody, ReplayBody, Same},
    http::Http,
};
#[cfg(feature = "http")]
pub use crate::error::RequestBodyLost;
