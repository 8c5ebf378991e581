//! The command line as a person or a script meets it: a process each, on a SQLite file of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod archive;
mod erase;
#[cfg(test)]
mod erase_kill;
#[expect(dead_code, reason = "what only the documents' test uses")]
mod fixture;
mod journal;
mod lifecycle;
mod newcomer;
#[cfg(unix)]
mod output;
#[cfg(test)]
mod source;
mod stats;
mod transfer;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A home of its own for each test: the default store is in it.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lcs-persistence"));
        command.args(arguments).env("HOME", self.0.path()).env("XDG_DATA_HOME", self.0.path());
        // What the developer's own shell says is not what is tested; a backtrace would show in errors.
        for variable in ["LCS_PERSISTENCE_DATABASE_URL", "LCS_PERSISTENCE_PASSWORD", "RUST_LOG", "NO_COLOR"] {
            command.env_remove(variable);
        }
        command.env("RUST_BACKTRACE", "1").stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command that succeeds answers.
    fn answer(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.answer(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// What a command that fails says, with its exit code: one line, and nothing that looks like a crash.
    fn failure(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments);
        let said = text(&output.stderr);
        assert!(said.starts_with("error: ") && !said.contains("panicked"), "{arguments:?}: {said}");
        (output.status.code().unwrap(), said.trim_end().to_owned())
    }

    /// A chat that is spoken to line by line.
    fn chat(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(&[&["chat", "--json"], arguments].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Says a line to a chat, and waits for its answer.
fn say(chat: &mut Child, line: &str) -> Value {
    writeln!(chat.stdin.as_mut().unwrap(), "{line}").unwrap();
    let mut answer = String::new();
    // One line was said, and one is answered: nothing is left in the buffer that is dropped here.
    BufReader::new(chat.stdout.as_mut().unwrap()).read_line(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap()
}

#[test]
fn a_second_process_goes_on_with_the_same_agent() {
    let home = Home::new();
    let first = home.json(&["chat", "--once", "my favourite colour is teal"]);
    assert_eq!((&first["turn_number"], &first["durability"]), (&1.into(), &"durable".into()));
    let id = first["conversation_id"].as_str().unwrap();
    let second = home.json(&["chat", "--once", "what is my favourite colour?", "--conversation", id]);
    assert_eq!((&second["turn_number"], &second["conversation_id"]), (&2.into(), &first["conversation_id"]));
    assert_eq!(second["response"], "Your favourite colour is teal.");
    assert_eq!(second.as_object().unwrap().len(), 4);
}

#[test]
fn what_was_answered_survives_a_kill() {
    let home = Home::new();
    let mut chat = home.chat(&[]);
    say(&mut chat, "my dog is Rex");
    let answer = say(&mut chat, "my cat is Tom");
    chat.kill().unwrap();
    chat.wait().unwrap();
    let id = answer["conversation_id"].as_str().unwrap();
    let answer = home.json(&["chat", "--once", "what is my cat?", "--conversation", id]);
    assert_eq!((&answer["turn_number"], &answer["response"]), (&3.into(), &"Your cat is Tom.".into()));
}

#[test]
fn a_script_talks_line_by_line() {
    let home = Home::new();
    let mut chat = home.command(&["chat"]);
    let mut chat = chat.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    chat.stdin
        .take()
        .unwrap()
        .write_all(b"my dog is Rex\n\n/help\nwhat is my dog?\n/quit\nnever said\n")
        .unwrap();
    let output = chat.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(text(&output.stdout), "I will remember that your dog is Rex.\nYour dog is Rex.\n");
    assert!(text(&output.stderr).contains("Go on with: lcs-persistence chat --conversation "));
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_a_chat_politely() {
    for signal in ["-INT", "-TERM"] {
        let home = Home::new();
        let mut chat = home.chat(&[]);
        say(&mut chat, "hello");
        let sent = Command::new("kill").args([signal, &chat.id().to_string()]).status().unwrap();
        assert!(sent.success());
        // Its input is still open: it ends because it was asked to, and waits for no line.
        // To wait would close it.
        let _input = chat.stdin.take();
        let ended = chat.wait_with_output().unwrap();
        assert!(ended.status.success(), "{signal}: {ended:?}");
    }
}

#[test]
fn conversations_are_listed_shown_and_deleted() {
    let home = Home::new();
    assert!(home.answer(&["conversations", "list"]).starts_with("There are no conversations."));
    let first = home.json(&["chat", "--once", "first"])["conversation_id"].as_str().unwrap().to_owned();
    let second = home.json(&["chat", "--once", "second"])["conversation_id"].as_str().unwrap().to_owned();

    let list = home.answer(&["conversations", "list"]);
    let lines: Vec<&str> = list.lines().collect();
    assert!(lines[0].starts_with("CONVERSATION"), "{list}");
    assert!(lines[1].starts_with(&second) && lines[1].contains("just now"), "{list}");
    assert!(lines[2].starts_with(&first), "{list}");
    assert!(!list.contains('\u{1b}'), "colour without a terminal");

    let page = home.json(&["conversations", "list", "--limit", "1"]);
    assert_eq!(page["conversations"][0]["conversation_id"], second.as_str());
    let page = home.json(&["conversations", "list", "--after", page["next"].as_str().unwrap()]);
    assert_eq!(page["conversations"][0]["conversation_id"], first.as_str());

    let shown = home.answer(&["conversations", "show", &first]);
    assert!(shown.contains("user: first\nassistant: You said: first"), "{shown}");
    let shown = home.json(&["conversations", "show", &first]);
    assert_eq!(shown["conversation"]["turn_count"], 1);
    assert_eq!(shown["turns"][0]["input_messages"][0]["content"], "first");

    assert_eq!(home.json(&["conversations", "delete", &first])["deleted"], true);
    for command in ["show", "delete"] {
        let absent = home.failure(&["conversations", command, &first]);
        assert_eq!(absent, (1, "error: conversation not found".into()));
    }
    assert_eq!(home.failure(&["chat", "--once", "x", "--conversation", &first]).0, 1);
}

#[test]
fn another_users_conversation_is_absent() {
    let home = Home::new();
    let own = home.json(&["chat", "--once", "mine", "--user", "alice"]);
    let id = own["conversation_id"].as_str().unwrap();
    let absent = (1, "error: conversation not found".to_owned());
    assert_eq!(home.failure(&["conversations", "show", id]), absent);
    assert_eq!(home.failure(&["conversations", "delete", id, "--user", "bob"]), absent);
    assert_eq!(home.failure(&["chat", "--once", "x", "--conversation", id]), absent);
    assert_eq!(home.json(&["conversations", "list"])["conversations"], Value::Array(Vec::new()));
    assert_eq!(home.json(&["conversations", "show", id, "--user", "alice"])["turns"][0]["turn_number"], 1);
}

#[test]
fn the_schema_is_migrated_by_hand_too_and_doctor_says_when_it_is_not() {
    let home = Home::new();
    home.json(&["migrate", "run"]);
    let (code, said) = home.failure(&["migrate", "revert"]);
    assert!(code == 1 && said.contains("write --yes to mean it"), "{said}");
    assert_eq!(home.answer(&["migrate", "run"]), "The schema is up to date.\n", "nothing was reverted");
    home.json(&["migrate", "revert", "--yes"]);
    let sick = home.run(&["doctor"]);
    assert_eq!(sick.status.code(), Some(1));
    assert!(text(&sick.stdout).contains("-> run: lcs-persistence migrate run"), "{}", text(&sick.stdout));
    let status = home.json(&["migrate", "status"]);
    let known = status["migrations"].as_array().unwrap();
    let newest = known.last().unwrap();
    assert_eq!(newest["applied"], false, "the newest is the one that was reverted");

    let applied = home.json(&["migrate", "run"])["applied"].as_array().unwrap().len();
    assert!(applied > 0);
    assert_eq!(home.answer(&["migrate", "run"]), "The schema is up to date.\n");
    let healthy = home.json(&["doctor"]);
    assert_eq!(healthy["healthy"], true);
    assert_eq!(healthy["findings"][0]["check"], "connection");

    for _ in known {
        assert!(home.json(&["migrate", "revert", "--yes"])["reverted"].is_string());
    }
    assert_eq!(home.answer(&["migrate", "revert", "--yes"]), "No migration is applied.\n");
}

#[test]
fn cleaning_up_removes_what_was_deleted_and_keeps_the_rest() {
    let home = Home::new();
    home.json(&["chat", "--once", "stays"]);
    let goes = home.json(&["chat", "--once", "goes"]);
    home.json(&["conversations", "delete", goes["conversation_id"].as_str().unwrap()]);
    assert_eq!(home.json(&["cleanup", "--dry-run"])["due"], 1);
    let report = home.json(&["cleanup"]);
    assert_eq!((&report["expired"], &report["deleted"]), (&0.into(), &1.into()));
    assert_eq!(
        home.answer(&["cleanup"]),
        "Removed 0 conversations: 0 idle longer than 90 days, 0 deleted by their users.\n"
    );
    assert_eq!(home.json(&["conversations", "list"])["conversations"].as_array().unwrap().len(), 1);
}

#[test]
fn mistakes_are_one_sentence_and_an_exit_code() {
    let home = Home::new();
    let (code, said) = home.failure(&["chat", "--conversation", "abc"]);
    assert!(code == 2 && said.contains("conversation id \"abc\" is not a UUID: write it like"), "{said}");
    assert_eq!(home.failure(&["chat", "--user", " "]).0, 2);
    assert_eq!(home.failure(&["conversations", "list", "--limit", "201"]).0, 2);
    assert_eq!(home.failure(&["tchat"]).0, 2);

    for arguments in [
        ["--log-level", "a=b=c", "doctor"].as_slice(),
        &["--config", "/nowhere/lightspeed-stack.yaml", "doctor"],
        &["--database-url", "mysql://u:canary@h/d", "doctor"],
        &["--database-url", "sqlite:/proc/canary/x.sqlite", "conversations", "list"],
    ] {
        let (code, said) = home.failure(arguments);
        assert!(code == 1 && said.lines().count() == 1, "{arguments:?}: {said}");
    }

    let file = home.0.path().join("not-a-database");
    fs::write(&file, "x".repeat(10_000)).unwrap();
    let (code, said) =
        home.failure(&["--database-url", &format!("sqlite:{}", file.display()), "chat", "--once", "x"]);
    assert!(code == 1 && said.lines().count() == 1, "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap().len(), 10_000);
}

#[test]
fn canary_the_password_is_in_no_log_however_much_is_logged() {
    let home = Home::new();
    let yaml = home.0.path().join("lightspeed-stack.yaml");
    let section = "persistence:\n  type: postgresql\n  database: {host: 127.0.0.1, port: 1, name: d, username: u, password: 'canary@/%:#?'}\n";
    fs::write(&yaml, section).unwrap();
    for place in [
        ["--config", yaml.to_str().unwrap()],
        ["--database-url", "postgres://u:canary%40%2F%25%3A%23%3F@127.0.0.1:1/d"],
    ] {
        let output = home.run(&[&place, ["--log-level", "trace"].as_slice(), &["doctor"]].concat());
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(said.contains("127.0.0.1") && !said.contains("canary"), "{said}");
    }
}

#[test]
fn a_level_that_is_none_is_refused_and_so_is_a_variable_that_is_no_text() {
    let home = Home::new();
    for level in ["nonsense", "", "a b"] {
        let (code, said) = home.failure(&["--log-level", level, "doctor"]);
        assert!(code == 1 && said.contains("--log-level is no log filter: write off, error"), "{said}");
    }
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        for variable in ["RUST_LOG", "LCS_PERSISTENCE_DATABASE_URL"] {
            let value = std::ffi::OsStr::from_bytes(b"sqlite:\xff");
            let output = home.command(&["doctor"]).env(variable, value).output().unwrap();
            assert_eq!(output.status.code(), Some(1));
            assert!(text(&output.stderr).contains(variable), "{}", text(&output.stderr));
        }
    }
}

#[test]
fn canary_debug_shows_every_call_and_nothing_of_what_is_said() {
    let home = Home::new();
    for level in ["info", "debug", "trace", "lcs_storage=debug,lcs_agent_cache=info"] {
        let output = home.run(&["--log-level", level, "chat", "--once", "my canary is yellow"]);
        assert!(output.status.success());
        let log = text(&output.stderr);
        assert_eq!(
            log.contains("db.turn.append") && log.contains("time.busy"),
            level != "info",
            "{level}: {log}"
        );
        assert!(!log.contains("canary") && !log.contains("yellow"), "{level}: {log}");
    }
}

#[test]
fn what_only_looks_makes_no_database_file() {
    let home = Home::new();
    assert!(home.answer(&["conversations", "list"]).contains("Begin one with: lcs-persistence chat\n"));
    assert_eq!(home.json(&["cleanup", "--dry-run"])["due"], 0);
    assert_eq!(home.json(&["migrate", "status"])["migrations"][0]["applied"], false);
    let id = "01890000-0000-7000-8000-000000000000";
    assert_eq!(home.failure(&["conversations", "show", id]), (1, "error: conversation not found".into()));
    assert!(home.answer(&["doctor"]).contains("nothing is stored yet"));
    assert_eq!(fs::read_dir(home.0.path()).unwrap().count(), 0);

    let url = format!("sqlite:{}", home.0.path().join("folder/x.sqlite").display());
    for arguments in [
        ["conversations", "list"].as_slice(),
        &["conversations", "delete", id],
        &["cleanup", "--dry-run"],
        &["migrate", "status"],
    ] {
        let (code, said) = home.failure(&[&["--database-url", &url], arguments].concat());
        assert!(code == 1 && said.contains("there is no database file at "), "{said}");
    }
    let sick = home.run(&["--database-url", &url, "doctor"]);
    assert!(sick.status.code() == Some(1) && text(&sick.stdout).contains("there is no database file at "));
    assert_eq!(fs::read_dir(home.0.path()).unwrap().count(), 0);
}

#[test]
fn the_way_to_go_on_leads_to_the_same_conversation() {
    let home = Home::new();
    let url = format!("sqlite:{}", home.0.path().join("my own.sqlite").display());
    let said = home.run(&["chat", "--once", "my dog is Rex", "--user", "alice", "--database-url", &url]);
    let hint = text(&said.stderr);
    let command = hint.trim_end().strip_prefix("Go on with: lcs-persistence ").unwrap();
    let words = format!("{} {command} --once 'what is my dog?'", env!("CARGO_BIN_EXE_lcs-persistence"));
    let output = Command::new("sh").args(["-c", &words]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(text(&output.stdout), "Your dog is Rex.\n", "{words}: {}", text(&output.stderr));

    let gone = home.run(&["chat", "--once", "hello", "--database-url", "memory:"]);
    assert!(gone.status.success() && !text(&gone.stderr).contains("Go on"), "{}", text(&gone.stderr));
}

#[test]
fn what_cannot_be_said_is_refused_in_a_sentence() {
    let home = Home::new();
    for arguments in [["chat", "--once", ""], ["chat", "--once", " "], ["chat", "--once", "--json"]] {
        assert_eq!(home.failure(&arguments).0, 2, "{arguments:?}");
    }
    assert!(home.answer(&["chat", "--once=-x"]).starts_with("You said: -x"));

    let yaml = home.0.path().join("lightspeed-stack.yaml");
    fs::write(&yaml, "persistence: {max_document_bytes: 1024}\n").unwrap();
    for (line, expected) in [
        (b"hello\nca\xff\n".to_vec(), "error: what was said is not UTF-8 text\n"),
        ([b"hello\n".as_slice(), &[b'a'; 2_000], b"\n"].concat(), " bytes, and the limit is 1024\n"),
    ] {
        let mut chat = home.command(&["chat", "--config", yaml.to_str().unwrap()]);
        let mut chat =
            chat.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        chat.stdin.take().unwrap().write_all(&line).unwrap();
        let output = chat.wait_with_output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(said.contains("Go on with: ") && said.ends_with(expected), "{said}");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_a_chat_that_still_connects() {
    let home = Home::new();
    // A server that takes the connection and never says anything.
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://u@127.0.0.1:{}/d", server.local_addr().unwrap().port());
    let chat = home.chat(&["--database-url", &url]);
    let connection = server.accept().unwrap();
    assert!(Command::new("kill").args(["-INT", &chat.id().to_string()]).status().unwrap().success());
    let output = chat.wait_with_output().unwrap();
    assert_eq!(text(&output.stderr), "error: interrupted before anything was said\n");
    drop(connection);
}
