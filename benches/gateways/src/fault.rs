//! What goes wrong, and with which backends.

use crate::BoxError;
use crate::backend::{Backends, Mode};
use std::fmt;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    Kill,
    Fail,
    Slow(u32),
    Hang,
    FailAll,
}

impl Fault {
    /// Those that leave backends which could answer, in the order of the plot.
    pub(crate) const OF_ONE: [Self; 4] = [Self::Slow(40), Self::Hang, Self::Kill, Self::Fail];

    pub(crate) async fn begin(self, backends: &mut Backends) -> Result<(), BoxError> {
        match self {
            Self::None => Ok(()),
            Self::Kill => backends.kill().await,
            Self::Fail => backends.turn_last(Mode::Fail).await,
            Self::Slow(times) => backends.turn_last(Mode::Slow(times)).await,
            Self::Hang => backends.turn_last(Mode::Hang).await,
            Self::FailAll => backends.turn_all(Mode::Fail).await,
        }
    }

    pub(crate) async fn heal(self, backends: &mut Backends) -> Result<(), BoxError> {
        match self {
            Self::Kill => backends.start_again().await,
            _ => backends.turn_all(Mode::Good).await,
        }
    }

    /// For readers who have not seen the names.
    pub(crate) fn title(self) -> String {
        match self {
            Self::None => "no fault".into(),
            Self::Kill => "killed".into(),
            Self::Fail => "answers 503".into(),
            Self::Slow(times) => format!("{times} times slower"),
            Self::Hang => "hangs".into(),
            Self::FailAll => "all answer 503".into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Kill => f.write_str("kill"),
            Self::Fail => f.write_str("fail"),
            Self::Slow(times) => write!(f, "slow{times}"),
            Self::Hang => f.write_str("hang"),
            Self::FailAll => f.write_str("failall"),
        }
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Ok(match name {
            "none" => Self::None,
            "kill" => Self::Kill,
            "fail" => Self::Fail,
            "hang" => Self::Hang,
            "failall" => Self::FailAll,
            _ => {
                let times = name.strip_prefix("slow").and_then(|times| times.parse().ok());
                Self::Slow(times.ok_or("not one of kill, fail, slow40, hang, failall, none")?)
            }
        })
    }
}
