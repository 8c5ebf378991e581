//! One cluster in one folder: made, started, stopped.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::account::Account;
use super::private::{PrivateOptions, Shutdown};
use super::{Result, binary, lock, random};

/// The superuser of every cluster.
pub(super) const USER: &str = "lcs";

const WATCHDOG: &str = include_str!("watchdog.sh");

/// What is committed outlives a killed server, though not a power cut, and no work in the background
/// disturbs a test.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 400
fsync = off
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
autovacuum = off
jit = off
checkpoint_timeout = 1h
max_wal_size = 256MB
timezone = 'UTC'
";

/// A cluster, running or not, in a folder of its own.
#[derive(Debug)]
pub(super) struct Server {
    binaries: PathBuf,
    folder: PathBuf,
    account: Option<Account>,
    /// The TCP port on 127.0.0.1.
    pub(super) port: u16,
    /// The superuser's password: whoever else has an account on this machine does not know it.
    pub(super) password: String,
}

impl Server {
    /// Makes a cluster in `folder`, which exists, and starts it.
    pub(super) fn create(folder: &Path, options: &PrivateOptions<'_>) -> Result<Self> {
        // The server's account, too, has to pass through it.
        fs::set_permissions(folder, fs::Permissions::from_mode(0o711))?;
        let mut server = Self {
            binaries: binary::folder()?,
            folder: folder.to_owned(),
            account: Account::for_server()?,
            port: 0,
            password: format!("{:016x}{:016x}", random(), random()),
        };
        server.initialize(options)?;
        server.start_on_free_port()?;
        Ok(server)
    }

    /// Makes a standby of `primary` in `folder`, which exists, and starts it. The primary knows it as `name`.
    pub(super) fn replicate(folder: &Path, primary: &Self, name: &str) -> Result<Self> {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o711))?;
        let mut server = Self {
            binaries: primary.binaries.clone(),
            folder: folder.to_owned(),
            account: primary.account,
            port: 0,
            password: primary.password.clone(),
        };
        let data = server.data();
        fs::create_dir(&data)?;
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700))?;
        server.hand_over(&data)?;
        let mut backup = server.command("pg_basebackup");
        backup.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--pgdata"]).arg(&data);
        backup
            .arg("--dbname")
            .arg(format!("host=127.0.0.1 port={} user={USER} application_name={name}", primary.port));
        run(backup.env("PGPASSWORD", &server.password))?;
        fs::remove_file(server.log_path())?;
        server.start_on_free_port()?;
        Ok(server)
    }

    /// The cluster that [`Self::create`] made in `folder` in another process, if it runs.
    pub(super) fn find(folder: &Path) -> Result<Option<Self>> {
        let Ok(address) = fs::read_to_string(folder.join("address")) else { return Ok(None) };
        let Some((port, password)) = address.split_once(' ') else { return Ok(None) };
        let server = Self {
            binaries: binary::folder()?,
            folder: folder.to_owned(),
            account: Account::for_server()?,
            port: port.parse()?,
            password: password.to_owned(),
        };
        Ok(server.is_running().then_some(server))
    }

    fn initialize(&self, options: &PrivateOptions<'_>) -> Result<()> {
        let data = self.data();
        fs::create_dir(&data)?;
        self.hand_over(&data)?;
        let password = self.folder.join("password");
        self.write(&password, &self.password)?;
        let mut initdb = self.command("initdb");
        initdb.args([
            "--username",
            USER,
            "--auth=password",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
        ]);
        run(initdb.arg("--pwfile").arg(&password).arg("--pgdata").arg(&data))?;
        fs::remove_file(password)?;

        let conf = data.join("postgresql.conf");
        let mut settings = fs::read_to_string(&conf)? + SETTINGS;
        for line in options.settings {
            writeln!(settings, "{line}")?;
        }
        self.write(&conf, &settings)?;
        let hba = data.join("pg_hba.conf");
        if !options.access.is_empty() {
            self.write(&hba, &(options.access.join("\n") + "\n"))?;
        }
        options.files.iter().try_for_each(|(name, content)| self.write(&data.join(name), content))
    }

    /// Another process may take a port between our look and the server's: then another port is tried.
    fn start_on_free_port(&mut self) -> Result<()> {
        for _ in 0..10 {
            self.port = free_port()?;
            match self.start() {
                Err(error) if error.to_string().contains("could not bind") => fs::write(self.log_path(), "")?,
                other => return other,
            }
        }
        Err("ten ports in a row were taken by others".into())
    }

    /// Starts the server, and waits until it answers.
    pub(super) fn start(&self) -> Result<()> {
        let mut start = self.command("pg_ctl");
        start.args(["start", "--silent", "--wait", "--timeout=60", "--pgdata"]).arg(self.data());
        start.arg("--log").arg(self.log_path()).arg("--options").arg(format!("-p {}", self.port));
        run(&mut start).map_err(|error| format!("{error}; the server's log: {}", self.log().trim_end()))?;
        // Whoever is killed here leaves no half of it: it gets its name when it is whole.
        let (written, address) = (self.folder.join("address.new"), self.folder.join("address"));
        self.write(&written, &format!("{} {}", self.port, self.password))?;
        Ok(fs::rename(written, address)?)
    }

    /// Stops the server, and waits until it is gone.
    pub(super) fn stop(&self, how: Shutdown) -> Result<()> {
        let mut stop = self.command("pg_ctl");
        stop.args(["stop", "--silent", "--wait", "--mode", how.mode(), "--pgdata"]).arg(self.data());
        run(&mut stop)
    }

    /// Has the server read its configuration again.
    pub(super) fn reload(&self) -> Result<()> {
        run(self.command("pg_ctl").args(["reload", "--silent", "--pgdata"]).arg(self.data()))
    }

    /// Makes a primary of this standby, and waits until it is one.
    pub(super) fn promote(&self) -> Result<()> {
        run(self.command("pg_ctl").args(["promote", "--silent", "--wait", "--pgdata"]).arg(self.data()))
    }

    /// Sends `signal` to the server and to all its processes at once; `KILL` waits until they are gone.
    pub(super) fn signal(&self, signal: &str) -> Result<()> {
        let processes = self.processes()?;
        run(Command::new("kill").arg(format!("-{signal}")).args(processes.iter().map(ToString::to_string)))?;
        while signal == "KILL" && !self.processes()?.is_empty() {
            std::thread::yield_now();
        }
        Ok(())
    }

    /// The server's processes: all of them work in its data folder.
    fn processes(&self) -> Result<Vec<u32>> {
        let data = fs::canonicalize(self.data())?;
        let ids = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let here = |id: &u32| fs::read_link(format!("/proc/{id}/cwd")).is_ok_and(|folder| folder == data);
        Ok(ids.filter(here).collect())
    }

    /// Ends the server however it is, and removes its data.
    pub(super) fn end(folder: &Path) -> Result<()> {
        run(Command::new("sh").args(["-c", WATCHDOG, "watchdog", "end"]).arg(folder))
    }

    /// Has a watchdog end the cluster in `folder` and remove the folder, once nobody has held
    /// `users.lock` for `checks` looks, 0.25 s apart. There is one for each folder.
    pub(super) fn watch(folder: &Path, checks: u32) -> Result<()> {
        if !lock::is_free(folder, "watchdog.lock")? {
            return Ok(());
        }
        let mut watchdog = Command::new("sh");
        watchdog.args(["-c", WATCHDOG, "watchdog", "watch"]).arg(folder).arg(checks.to_string());
        // In a process group of its own it outlives whatever ends the tests.
        watchdog.process_group(0).current_dir("/");
        watchdog.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(())
    }

    fn is_running(&self) -> bool {
        let status = self.command("pg_ctl").arg("status").arg("--pgdata").arg(self.data()).output();
        status.is_ok_and(|output| output.status.success())
            && TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
    }

    /// What the server has logged so far.
    pub(super) fn log(&self) -> String {
        fs::read(self.log_path()).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log_path(&self) -> PathBuf {
        self.data().join("server.log")
    }

    /// A shell as the server's account, with all that the server's programs have to know of it.
    pub(super) fn shell(&self, script: &str) -> Command {
        let mut shell = self.clean(Command::new("bash"));
        let path = std::env::var("PATH").unwrap_or_default();
        shell.args(["-euo", "pipefail", "-c", script]);
        shell.env("PATH", format!("{}:{path}", self.binaries.display())).env("PGDATA", self.data());
        shell.env("PGHOST", "127.0.0.1").env("PGPORT", self.port.to_string());
        shell.env("PGUSER", USER).env("PGPASSWORD", &self.password);
        shell
    }

    fn command(&self, program: &str) -> Command {
        self.clean(Command::new(self.binaries.join(program)))
    }

    /// A command as the server's account.
    fn clean(&self, mut command: Command) -> Command {
        // What a developer has set for `psql` is not meant for this server.
        let foreign = std::env::vars_os().map(|(name, _)| name);
        for name in foreign.filter(|name| name.as_encoded_bytes().starts_with(b"PG")) {
            command.env_remove(name);
        }
        command.env("LC_ALL", OsStr::new("C.UTF-8")).current_dir("/").stdin(Stdio::null());
        if let Some(account) = self.account {
            account.run(&mut command);
        }
        command
    }

    /// Writes a file that only the server's account can read.
    fn write(&self, path: &Path, content: &str) -> Result<()> {
        fs::write(path, content)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        self.hand_over(path)
    }

    fn hand_over(&self, path: &Path) -> Result<()> {
        self.account.map_or(Ok(()), |account| account.own(path))
    }

    /// The URL of `database`, for the superuser.
    pub(super) fn url(&self, database: &str) -> String {
        format!("postgres://{USER}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }
}

/// A free port below those that outgoing connections take.
pub(super) fn free_port() -> Result<u16> {
    for _ in 0..100 {
        let port = u16::try_from(20_000 + random() % 10_000)?;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err("no free TCP port on 127.0.0.1".into())
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    // `pg_ctl start` hands its output on to the server, so a pipe would stay open as long as that runs.
    let mut output = tempfile::tempfile()?;
    let status = command.stdout(output.try_clone()?).stderr(output.try_clone()?).status();
    let status = status.map_err(|error| format!("{program} cannot be run: {error}"))?;
    if status.success() {
        return Ok(());
    }
    let mut said = Vec::new();
    std::io::Seek::rewind(&mut output)?;
    std::io::Read::read_to_end(&mut output, &mut said)?;
    Err(format!("{program} ended with {status}: {}", String::from_utf8_lossy(&said).trim_end()).into())
}
