//! The content of good responses: bytes, events of an event stream, or messages of gRPC.

use super::Item;
use super::bodies::Items;
use crate::random::Rng;
use crate::world::ExpectedResponse;
use bytes::Bytes;
use http::HeaderMap;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Bytes,
    Events,
    Messages,
}

/// The faults that a body may have.
#[derive(Clone, Copy)]
pub(crate) struct Faults {
    /// The chance of any fault, in percent.
    pub(crate) chance: u64,
    pub(crate) hangs: bool,
    pub(crate) panics: bool,
}

impl Content {
    /// Draws a body, and the content that its reader must find.
    pub(crate) fn draw(self, rng: &mut Rng, faults: Faults) -> (Items, ExpectedResponse) {
        let bytes = self.draw_bytes(rng);
        let gap = rng.pick(&[0, 0, 1, 30, 800]);
        let part = rng.pick(&[1_usize, 7, 1_000, 100_000]).max(bytes.len() / 40);
        let parts = bytes.chunks(part).map(|part| (gap, Item::Data(Bytes::copy_from_slice(part))));
        let mut items: Items = parts.collect();
        let mut expected = ExpectedResponse { bytes: bytes.into(), clean: true, trailers: None };
        let end_gap = rng.pick(&[0, 0, 10, 2_000]);
        if rng.chance(faults.chance) {
            if let Some(fault) = self.draw_fault(rng, faults) {
                expected.clean = false;
                let least = if matches!(fault, Item::Pings) { 500 } else { 0 };
                items.push_back((end_gap.max(least), fault));
            }
        } else if self == Self::Messages || rng.chance(20) {
            let status = if rng.chance(70) { "0" } else { "14" };
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", http::HeaderValue::from_static(status));
            expected.trailers = Some(status.into());
            items.push_back((end_gap, Item::Trailers(trailers)));
        }
        (items, expected)
    }

    fn draw_bytes(self, rng: &mut Rng) -> Vec<u8> {
        let mut bytes = Vec::new();
        for n in 0..rng.below(4) {
            match self {
                Self::Messages => {
                    let len = rng.pick(&[0_u32, 3, 200]);
                    bytes.push(0);
                    bytes.extend(len.to_be_bytes());
                    bytes.extend((0..len).map(|at| at as u8));
                }
                Self::Events => bytes.extend(match rng.below(4) {
                    0 => b": comment\n\n".to_vec(),
                    1 => b"event: error\ndata: {}\n\n".to_vec(),
                    _ => format!("event: token\r\ndata: {n}\r\n\r\n").into_bytes(),
                }),
                Self::Bytes => {
                    let len = rng.pick(&[0_u64, 1, 700, 5_000]);
                    bytes.extend((0..len).map(|at| (at as u8) ^ (n as u8)));
                }
            }
        }
        bytes
    }

    /// None is the end of a gRPC body without a status, which is a clean end of the body.
    fn draw_fault(self, rng: &mut Rng, faults: Faults) -> Option<Item> {
        match rng.below(5) {
            0 if faults.hangs => Some(Item::Hang),
            1 if faults.panics => Some(Item::Panic),
            2 if faults.hangs && self == Self::Events => Some(Item::Pings),
            3 if self == Self::Messages => None,
            _ => Some(Item::Error),
        }
    }
}
