//! Runs tests side by side and reports them as libtest does.

use crate::explore;
use std::env;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

pub(crate) struct Test {
    pub(crate) name: String,
    pub(crate) run: Run,
}

pub(crate) enum Run {
    /// Returns what is to be told of it, or what failed.
    Now(Box<dyn Fn() -> Result<String, String> + Sync>),
    /// It is ignored, for this reason.
    Never(&'static str),
}

/// Those of libtest's arguments that choose among the tests; the others change nothing.
#[derive(Default)]
struct Arguments {
    list: bool,
    exact: bool,
    ignored: bool,
    threads: Option<usize>,
    names: Vec<String>,
    skip: Vec<String>,
}

impl Arguments {
    fn read() -> Self {
        let mut read = Self::default();
        let mut given = env::args().skip(1).flat_map(|argument| match argument.split_once('=') {
            Some((name, value)) if name.starts_with("--") => vec![name.into(), value.into()],
            _ => vec![argument],
        });
        while let Some(argument) = given.next() {
            match argument.as_str() {
                "--list" => read.list = true,
                "--exact" => read.exact = true,
                "--ignored" => read.ignored = true,
                "--skip" => read.skip.extend(given.next()),
                "--test-threads" => {
                    read.threads = given.next().and_then(|threads| threads.parse().ok());
                }
                "--format" | "--color" | "--logfile" | "-Z" | "--report-time"
                | "--shuffle-seed" => {
                    given.next();
                }
                option if option.starts_with('-') => {}
                _ => read.names.push(argument),
            }
        }
        read
    }

    fn choose(&self, Test { name, run }: &Test) -> bool {
        let is = |wanted: &String| if self.exact { name == wanted } else { name.contains(wanted) };
        let named = self.names.is_empty() || self.names.iter().any(is);
        named && !self.skip.iter().any(is) && (!self.ignored || matches!(run, Run::Never(_)))
    }
}

pub(crate) fn run(tests: Vec<Test>) -> ExitCode {
    let (arguments, all) = (Arguments::read(), tests.len());
    let tests: Vec<_> = tests.into_iter().filter(|test| arguments.choose(test)).collect();
    if arguments.list {
        tests.iter().for_each(|test| println!("{}: test", test.name));
        return ExitCode::SUCCESS;
    }
    let failed = report(&tests, arguments.threads, all - tests.len());
    // what libtest returns
    if failed { ExitCode::from(101) } else { ExitCode::SUCCESS }
}

/// Returns whether a test failed.
fn report(tests: &[Test], threads: Option<usize>, filtered_out: usize) -> bool {
    let started = now();
    println!("\nrunning {} tests", tests.len());
    let failures = run_all(tests, threads);
    if !failures.is_empty() {
        println!("\nfailures:\n");
        failures.iter().for_each(|(name, why)| println!("---- {name} ----\n{why}\n"));
    }
    let ignored = tests.iter().filter(|test| matches!(test.run, Run::Never(_))).count();
    let (failed, result) = (failures.len(), if failures.is_empty() { "ok" } else { "FAILED" });
    println!(
        "\ntest result: {result}. {} passed; {failed} failed; {ignored} ignored; 0 measured; \
         {filtered_out} filtered out; finished in {:.2}s\n",
        tests.len() - failed - ignored,
        started.elapsed().as_secs_f64(),
    );
    failed > 0
}

fn run_all(tests: &[Test], threads: Option<usize>) -> Vec<(String, String)> {
    explore::listen_to_panics();
    let threads = threads.or_else(|| thread::available_parallelism().ok().map(Into::into));
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(test) = tests.get(next.fetch_add(1, Relaxed)) {
            let run = match &test.run {
                Run::Now(run) => run,
                Run::Never(why) => {
                    say(&format!("test {} ... ignored, {why}", test.name));
                    continue;
                }
            };
            let started = now();
            let result = run();
            let seconds = started.elapsed().as_secs_f64();
            match result {
                Ok(told) => say(&format!("test {} ... ok <{told}, {seconds:.1} s>", test.name)),
                Err(why) => {
                    say(&format!("test {} ... FAILED", test.name));
                    failures.lock().unwrap().push((test.name.clone(), why));
                }
            }
        }
    };
    thread::scope(|scope| {
        (0..threads.unwrap_or(1)).for_each(|_| _ = scope.spawn(work));
    });
    // the standard one again
    drop(std::panic::take_hook());
    failures.into_inner().unwrap()
}

/// A line is written at once, so that those of two threads don't mix.
fn say(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

#[expect(clippy::disallowed_methods, reason = "the seconds that are reported are real ones")]
fn now() -> Instant {
    Instant::now()
}
