//! The command line.

use std::ops::Range;

pub(crate) const USAGE: &str = "\
usage: tower-failover-stacks COMMAND [FLAG]...

  seeds FROM COUNT      execute the plans of these seeds, and sum up the violations
  digest FROM COUNT     do the same, and print one hash of all stories
  one SEED              print a plan, its stack and its story
  shrink SEED CLASS     remove every part of a plan that this violation does not need
  threads FROM COUNT    execute plans on four threads and the real clock
  amp                   attempts per request in an outage, one to three tiers
  budgets FROM COUNT    check the bounds of budgets in outages

  --twice               execute every plan twice and compare the stories
  --late                report late attempts in every stack
  --backtrace           print a backtrace of every panic that is not part of a plan
";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Seeds(Range<u64>),
    Digest(Range<u64>),
    One(u64),
    Shrink(u64, String),
    Threads(Range<u64>),
    Amplification,
    Budgets(Range<u64>),
}

pub(crate) struct Arguments {
    pub(crate) command: Command,
    pub(crate) twice: bool,
    pub(crate) late: bool,
    pub(crate) backtrace: bool,
}

impl Arguments {
    /// None for a wrong call.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Option<Self> {
        let (flags, words): (Vec<_>, Vec<_>) = arguments.partition(|word| word.starts_with("--"));
        let (mut twice, mut late, mut backtrace) = (false, false, false);
        for flag in flags {
            match flag.as_str() {
                "--twice" => twice = true,
                "--late" => late = true,
                "--backtrace" => backtrace = true,
                _ => return None,
            }
        }
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let command = match words[..] {
            ["seeds", from, count] => Command::Seeds(range(from, count)?),
            ["digest", from, count] => Command::Digest(range(from, count)?),
            ["one", seed] => Command::One(seed.parse().ok()?),
            ["shrink", seed, class] => Command::Shrink(seed.parse().ok()?, class.into()),
            ["threads", from, count] => Command::Threads(range(from, count)?),
            ["amp"] => Command::Amplification,
            ["budgets", from, count] => Command::Budgets(range(from, count)?),
            _ => return None,
        };
        Some(Self { command, twice, late, backtrace })
    }
}

fn range(from: &str, count: &str) -> Option<Range<u64>> {
    let from: u64 = from.parse().ok()?;
    Some(from..from.checked_add(count.parse().ok()?)?)
}
