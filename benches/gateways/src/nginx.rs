//! nginx, set to do what it can about these faults.
//!
//! One retry elsewhere, an attempt ends after 250 ms, an endpoint is left out for 2 s after three
//! failures, and the one with the fewest requests is asked. It has no budget and does not hedge.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

pub(crate) fn command(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf")).args(["-e", "stderr"]);
    command
}

/// Its worker would outlive a master that is killed.
pub(crate) fn ending(program: &Path, folder: &Path) -> Command {
    let mut command = command(program, folder);
    command.args(["-s", "stop"]);
    command
}

pub(crate) fn settings(folder: &Path, port: u16, backends: &[u16]) -> String {
    let folder = folder.display();
    let mut servers = String::new();
    for backend in backends {
        let _ = write!(servers, "server 127.0.0.1:{backend} max_fails=3 fail_timeout=2s; ");
    }
    format!(
        "daemon off;
        worker_processes 1;
        pid {folder}/pid;
        error_log stderr crit;
        events {{ worker_connections 4096; }}
        http {{
            access_log off;
            client_body_temp_path {folder}/body;
            proxy_temp_path {folder}/proxy;
            fastcgi_temp_path {folder}/fastcgi;
            uwsgi_temp_path {folder}/uwsgi;
            scgi_temp_path {folder}/scgi;
            upstream backends {{
                least_conn;
                {servers}
                keepalive 64;
            }}
            server {{
                listen 127.0.0.1:{port};
                keepalive_requests 10000000;
                location / {{
                    proxy_pass http://backends;
                    proxy_http_version 1.1;
                    proxy_set_header Connection \"\";
                    proxy_connect_timeout 250ms;
                    proxy_send_timeout 250ms;
                    proxy_read_timeout 250ms;
                    proxy_next_upstream error timeout http_500 http_502 http_503 http_504;
                    proxy_next_upstream_tries 2;
                }}
            }}
        }}"
    )
}
