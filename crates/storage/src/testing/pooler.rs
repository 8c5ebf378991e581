//! A PgBouncer before a test's server.

use std::env;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::account::Account;
use super::server::free_port;
use super::{Result, TestPostgres, or_fail};

const ABSENT: &str =
    "no pgbouncer found: install it (`apt-get install pgbouncer`), or set PGBOUNCER to its path";

/// It goes when its input ends, however the test does.
const UNTIL_INPUT_ENDS: &str = "\"$0\" -q \"$1\" & read -r _; kill -KILL $!; wait $!";

/// A PgBouncer that passes on to a server. It ends with this value, and also when the test is killed.
#[derive(Debug)]
pub struct TestPooler {
    port: u16,
    process: Child,
    folder: tempfile::TempDir,
}

impl TestPooler {
    /// Starts one before the server of `database`, with `settings`, lines for its section `[pgbouncer]`: the
    /// installed one, or that which the environment variable `PGBOUNCER` names.
    ///
    /// # Panics
    /// Where it is not installed or does not start: the sentence says what to do.
    pub async fn before(database: &TestPostgres, settings: &[&str]) -> Self {
        let mut pooler = or_fail(Self::spawn(database, settings));
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", pooler.port)).is_ok() {
                return pooler;
            }
            if pooler.process.try_wait().is_ok_and(|ended| ended.is_some()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        or_fail(Err(format!("pgbouncer does not listen: {}", pooler.log()).into()))
    }

    fn spawn(database: &TestPostgres, settings: &[&str]) -> Result<Self> {
        let program = program()?;
        let account = Account::for_server()?;
        let folder = tempfile::tempdir()?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711))?;
        let port = free_port()?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        let configuration = format!(
            "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = plain\nauth_file = {}\nlogfile = {}\n\
             max_client_conn = 400\ndefault_pool_size = 100\n{}\n",
            database.host(),
            database.port(),
            path("users"),
            path("log"),
            settings.join("\n"),
        );
        let users = format!("\"{}\" \"{}\"\n", database.user(), database.password());
        for (name, content) in [("pgbouncer.ini", configuration), ("users", users), ("log", String::new())] {
            fs::write(path(name), content)?;
            fs::set_permissions(path(name), fs::Permissions::from_mode(0o600))?;
            if let Some(account) = account {
                account.own(&folder.path().join(name))?;
            }
        }
        let mut command = Command::new("sh");
        command.args(["-c", UNTIL_INPUT_ENDS]).arg(program).arg(path("pgbouncer.ini"));
        command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(account) = account {
            account.run(&mut command);
        }
        Ok(Self { port, process: command.spawn()?, folder })
    }

    /// The TCP port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for TestPooler {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ended = self.process.wait();
    }
}

/// PgBouncer's program, which `PATH` may leave out for those who are not root.
fn program() -> Result<PathBuf> {
    if let Some(path) = env::var_os("PGBOUNCER") {
        return Ok(path.into());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|folder| folder.join("pgbouncer"))
        .find(|program| program.is_file())
        .ok_or_else(|| ABSENT.into())
}
