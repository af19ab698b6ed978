//! How times, sizes and shares are written on the command line.

use std::time::Duration;
use tower_failover::Ratio;

const TIMES: [(&str, f64); 4] = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3_600.0)];

const SIZES: [(&str, f64); 7] = [
    ("", 1.0),
    ("B", 1.0),
    ("kB", 1_000.0),
    ("KiB", 1_024.0),
    ("MB", 1_000_000.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
];

/// Reads `500ms`, `1.5s`, `2m` or `1h`; there is always a unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    measured(text, &TIMES)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| format!("`{text}` is no time: write one like 500ms, 1.5s, 2m or 1h"))
}

/// Reads the same, without zero.
pub(crate) fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must be longer than zero".into()),
        time => Ok(time),
    }
}

/// A time, or none for `off`.
pub(crate) type TimeOrOff = Option<Duration>;

/// Reads a time that is not zero, or `off`.
pub(crate) fn time_or_off(text: &str) -> Result<TimeOrOff, String> {
    match text {
        "off" => Ok(None),
        time => some_time(time).map(Some),
    }
}

/// Reads `65536`, `64kB`, `64KiB` or `1MiB`.
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let most = usize::MAX as f64;
    match measured(text, &SIZES) {
        // the cast cuts off the part of a byte that `1.0001kB` has
        Some(bytes) if bytes < most => Ok(bytes as usize),
        _ => Err(format!("`{text}` is no size: write one like 65536, 64kB, 64KiB or 1MiB")),
    }
}

/// Reads `20%` or `12.5%`.
pub(crate) fn percent(text: &str) -> Result<Ratio, String> {
    measured(text, &[("%", 1.0)])
        .and_then(|percent| Ratio::new(percent / 100.0).ok())
        .ok_or_else(|| format!("`{text}` is no share: write one between 0% and 100%"))
}

/// The number that the text starts with, in the unit that it ends with.
fn measured(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let end = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    Some(number.parse::<f64>().ok()? * scale)
}
