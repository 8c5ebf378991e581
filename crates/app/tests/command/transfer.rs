//! Export and import: a process each, over files, between stores, interrupted and killed.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use lcs_storage::testing::TestPostgres;
use serde_json::{Value, json};

use crate::{Home, text};

impl Home {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The lines of an export of this store, without its times of export.
    fn exported(&self, url: &str, name: &str) -> Vec<Value> {
        let file = self.path(name);
        self.json(&["export", file.to_str().unwrap(), "--force", "--database-url", url]);
        comparable(&fs::read_to_string(file).unwrap())
    }
}

/// An export's lines without what an import begins anew.
fn comparable(export: &str) -> Vec<Value> {
    let mut lines: Vec<Value> = export.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &mut lines {
        let fields = line.as_object_mut().unwrap();
        match fields["type"].as_str().unwrap() {
            "header" => drop(fields.remove("exported_at")),
            "conversation" => drop(fields.remove("updated_at")),
            _ => {}
        }
    }
    lines
}

/// A file with `count` conversations of `turns` turns each.
pub(crate) fn file(count: u32, turns: u32) -> String {
    let id = |kind: u32, n: u32, m: u32| format!("018f0000-0000-7000-8{kind:03x}-{n:08x}{m:04x}");
    let at = "2026-01-31T12:00:00.123456Z";
    let mut lines = vec![json!({
        "type": "header", "format": "lcs-persistence", "version": 1, "exported_at": at,
        "filter": {"statuses": ["active", "archived"]},
    })];
    for n in 0..count {
        let conversation_id = id(0, n, 0);
        lines.push(json!({
            "type": "conversation", "conversation_id": conversation_id, "user_id": id(1, n % 3, 0),
            "agent_id": id(2, n, 0), "model_id": "a-model", "created_at": at, "updated_at": at,
            "status": "active", "metadata": {"n": n}, "turn_count": turns, "state_revision": 1,
        }));
        lines.push(json!({
            "type": "agent_state", "agent_id": id(2, n, 0), "conversation_id": conversation_id,
            "agent_config": {}, "current_state": ["\u{0}", 1e300], "created_at": at, "updated_at": at,
            "revision": 1, "through_turn": turns,
        }));
        for m in 1..=turns {
            lines.push(json!({
                "type": "turn", "turn_id": id(3, n, m), "conversation_id": conversation_id, "turn_number": m,
                "input_messages": [{"role": "user", "content": format!("canary {n} {m}")}],
                "output_message": null, "started_at": at, "completed_at": at, "metadata": {"lcs:late": true},
            }));
        }
    }
    lines.push(json!({
        "type": "trailer", "conversations": count, "agent_states": count, "turns": count * turns,
    }));
    let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
    lines.join("\n") + "\n"
}

fn sqlite(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

#[test]
fn moving_to_another_store_is_an_export_and_an_import() {
    let home = Home::new();
    for said in ["my dog is Rex", "hello"] {
        home.json(&["chat", "--once", said]);
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(TestPostgres::create());
    let (first, second) = (home.path("first.sqlite"), home.path("second.sqlite"));
    let stores = [sqlite(&first), database.url().to_owned(), sqlite(&second)];
    let own = home.path("own.jsonl.zst");
    let own = own.to_str().unwrap();
    let said = home.json(&["export", own]);
    assert_eq!(
        (&said["conversations"], &said["turns"], &said["agent_states"]),
        (&json!(2), &json!(2), &json!(2))
    );
    let mut file = own.to_owned();
    let mut first: Option<Vec<Value>> = None;
    for (number, url) in stores.iter().enumerate() {
        let imported = home.json(&["import", &file, "--database-url", url]);
        assert_eq!(
            imported,
            json!({
                "stored": 2, "turns": 2, "present": 0, "continued": 0, "rejected": 0, "stopped": false,
                "dry_run": false, "rejects": null,
            })
        );
        let again = home.json(&["import", &file, "--database-url", url]);
        assert_eq!((&again["stored"], &again["present"]), (&json!(0), &json!(2)));
        let next = home.path(&format!("{number}.jsonl"));
        let lines = home.exported(url, &format!("{number}.jsonl"));
        assert_eq!(*first.get_or_insert_with(|| lines.clone()), lines);
        file = next.to_str().unwrap().to_owned();
    }
    let list = home.json(&["conversations", "list", "--database-url", database.url()]);
    let ids: Vec<&str> = list["conversations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["conversation_id"].as_str().unwrap())
        .collect();
    let here = home.json(&["conversations", "list"]);
    let expected: Vec<&str> = here["conversations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["conversation_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, expected, "the newest is still the first");
    // The agent goes on where it was.
    let goes_on =
        ["chat", "--once", "what is my dog?", "--conversation", ids[1], "--database-url", database.url()];
    assert_eq!(home.json(&goes_on)["response"], "Your dog is Rex.");
    // The audit log knows of it, and counts alone.
    let sql = "SELECT action FROM audit_events ORDER BY sequence";
    let rows = runtime.block_on(database.query(sql));
    let actions: Vec<&str> = rows.iter().flatten().filter_map(Option::as_deref).collect();
    assert!(actions.ends_with(&["import", "import", "export", "export"]), "{rows:?}");
    let again = home.json(&["import", own, "--database-url", database.url()]);
    assert_eq!((&again["present"], &again["continued"]), (&json!(1), &json!(1)));
}

#[test]
fn what_is_imported_is_exported_line_for_line() {
    let home = Home::new();
    let written = file(20, 3);
    let url = sqlite(&home.path("a.sqlite"));
    for compressed in ["in.jsonl", "in.jsonl.gz", "in.jsonl.zst"] {
        // By way of each compression, and of standard output and input.
        let path = home.path(compressed);
        let store = sqlite(&home.path(&format!("{compressed}.sqlite")));
        let mut import = home.command(&["import", "-", "--json", "--database-url", &store]);
        let mut import = import.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        import.stdin.take().unwrap().write_all(written.as_bytes()).unwrap();
        let answer: Value = serde_json::from_slice(&import.wait_with_output().unwrap().stdout).unwrap();
        assert_eq!((&answer["stored"], &answer["turns"]), (&json!(20), &json!(60)));
        home.json(&["export", path.to_str().unwrap(), "--database-url", &store]);
        home.json(&["import", path.to_str().unwrap(), "--database-url", &url]);
    }
    let exported = home.answer(&["export", "-", "--database-url", &url]);
    let (mut exported, mut written) = (comparable(&exported), comparable(&written));
    // What was to be exported may be said otherwise.
    exported.remove(0);
    written.remove(0);
    assert_eq!(exported, written);
    let one = home.answer(&[
        "export",
        "-",
        "--database-url",
        &url,
        "--user",
        "018f0000-0000-7000-8001-000000000000",
    ]);
    assert_eq!(one.lines().filter(|line| line.starts_with(r#"{"type":"conversation""#)).count(), 7);
    let none = home.answer(&["export", "-", "--database-url", &url, "--status", "archived"]);
    assert_eq!(none.lines().count(), 2);
    let none = home.answer(&["export", "-", "--database-url", &url, "--until", "2026-01-31"]);
    assert_eq!(none.lines().count(), 2);
}

#[test]
fn what_cannot_be_imported_is_noted_line_by_line_and_the_rest_is_stored() {
    let home = Home::new();
    let written = file(6, 2);
    let mut lines: Vec<String> = written.lines().map(str::to_owned).collect();
    // A conversation takes 4 lines, from the second on.
    lines[3] = lines[3].replace("turn_number\":1", "turn_number\":7");
    lines[7] = "{\"type\":\"turn\", canary".to_owned();
    lines[9] = lines[9].replace("a-model", "");
    lines[16] = lines[16].replace("\"canary 3 2\"", "123456789012345678901234567890");
    lines.remove(20);
    let path = home.path("bad.jsonl");
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    let path = path.to_str().unwrap();
    let dry = home.run(&["import", path, "--dry-run", "--json"]);
    assert_eq!(dry.status.code(), Some(1));
    assert!(home.json(&["conversations", "list"])["conversations"].as_array().unwrap().is_empty());
    let output = home.run(&["import", path, "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&answer["stored"], &answer["rejected"]), (&json!(1), &json!(5)));
    let rejects = fs::read_to_string(format!("{path}.rejects.jsonl")).unwrap();
    let rejects: Vec<Value> = rejects.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of =
        |line: u64| rejects.iter().find(|reject| reject["line"] == line).unwrap()["reason"].as_str().unwrap();
    assert_eq!(of(4), "its number is 7 where 1 belongs");
    assert!(of(8).contains("not well-formed JSON at column"), "{}", of(8));
    assert!(of(10).contains("/model_id"), "{}", of(10));
    assert!(of(17).contains("/input_messages") && of(17).contains("cannot be kept exactly"), "{}", of(17));
    assert_eq!(of(18), "it has 2 turns, and 1 stand here");
    assert!(!format!("{rejects:?}{}", text(&output.stderr)).contains("canary"), "nothing is quoted");

    // A bad head is its own conversation's end, and not that of the whole one before it.
    let mut lines: Vec<String> = file(3, 2).lines().map(str::to_owned).collect();
    lines[5] = lines[5].replace("a-model", "");
    let path = home.path("head.jsonl");
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    let to = sqlite(&home.path("head.sqlite"));
    let output = home.run(&["import", path.to_str().unwrap(), "--json", "--database-url", &to]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&answer["stored"], &answer["rejected"]), (&json!(2), &json!(1)));

    // Two files in one, the first of which was cut off between two conversations: that is said.
    let both: Vec<&str> = written.lines().take(5).chain(written.lines()).collect();
    fs::write(&path, both.join("\n") + "\n").unwrap();
    let to = sqlite(&home.path("both.sqlite"));
    let output = home.run(&["import", path.to_str().unwrap(), "--json", "--database-url", &to]);
    assert_eq!(output.status.code(), Some(1));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&answer["stored"], &answer["present"], &answer["rejected"]),
        (&json!(6), &json!(1), &json!(1))
    );

    // Cut off, it is imported as far as it goes, and that is said.
    let cut = home.path("cut.jsonl");
    let whole: Vec<&str> = written.lines().take(12).collect();
    fs::write(&cut, whole.join("\n") + "\n").unwrap();
    let output = home.run(&["import", cut.to_str().unwrap(), "--rejects", home.path("r").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let rejects = fs::read_to_string(home.path("r")).unwrap();
    assert!(rejects.contains("the file ends without a trailer"), "{rejects}");
    for (name, content) in [("x.jsonl", "hello\n"), ("y.jsonl", "{\"type\":\"turn\"}\n"), ("z.jsonl", "")] {
        fs::write(home.path(name), content).unwrap();
        let output = home.run(&["import", home.path(name).to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{name}");
    }
    let (_, said) = home.failure(&["import", home.path("x.jsonl").to_str().unwrap()]);
    assert!(said.contains("x.jsonl cannot be imported: it is no export of lcs-persistence"), "{said}");
    let (_, said) = home.failure(&["import", home.path("absent").to_str().unwrap()]);
    assert!(said.contains("absent cannot be read"), "{said}");
}

/// How the actions of this kind ended, by the audit log, the oldest first.
pub(crate) fn outcomes(home: &Home, action: &str) -> Vec<String> {
    let log = home.json(&["audit", "list", "--action", action, "--after", "0", "--limit", "200"]);
    let events = log.get("events").and_then(Value::as_array).unwrap().iter();
    events.map(|event| event["outcome"].as_str().unwrap().to_owned()).collect()
}

#[cfg(unix)]
#[test]
fn an_import_whose_report_nobody_reads_has_imported_and_says_by_its_code_that_it_could_not_say_so() {
    let home = Home::new();
    let path = home.path("in.jsonl");
    let path = path.to_str().unwrap();
    let unread = |arguments: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = home.command(arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    fs::write(path, file(2, 1)).unwrap();
    for json in [[].as_slice(), &["--json"]] {
        assert_eq!(unread(&[&["import", path], json].concat()), (Some(141), String::new()));
    }
    assert_eq!(home.json(&["import", path])["present"], 2);
    // What is wrong with the source is said all the same.
    fs::write(path, "no export\n").unwrap();
    let (code, said) = unread(&["import", path]);
    assert!(code == Some(1) && said.starts_with("error: ") && !said.contains("panicked"), "{said}");
    // A log that nobody reads keeps nothing from being done.
    fs::write(path, file(3, 1)).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let import = ["--log-level", "trace", "import", path, "--json"];
    let output = home.command(&import).stdout(Stdio::piped()).stderr(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("\"stored\":"), "{}", text(&output.stdout));
}

#[test]
fn an_import_whose_source_is_broken_says_its_counts_and_is_recorded_as_failed() {
    let home = Home::new();
    let path = home.path("in.jsonl");
    let path = path.to_str().unwrap();
    fs::write(path, file(2, 1)).unwrap();
    home.json(&["import", path]);
    fs::write(path, "no export\n").unwrap();
    let output = home.run(&["import", path]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "", "nothing came of it: there is only to say what is wrong with it");
    assert!(text(&output.stderr).starts_with("error: "), "{}", text(&output.stderr));
    assert_eq!(outcomes(&home, "import"), ["done", "failed"]);
    // Where the rejects belong stands something else: it stays, and nothing is imported.
    for rejects in [path, home.path("lcs-persistence/conversations.sqlite").to_str().unwrap()] {
        let before = fs::read(rejects).unwrap();
        let (_, said) = home.failure(&["import", path, "--rejects", rejects]);
        assert!(said.contains("with --rejects"), "{said}");
        assert_eq!(fs::read(rejects).unwrap(), before);
    }
    assert_eq!(outcomes(&home, "import").len(), 2);
}

#[test]
fn canary_a_url_where_a_file_belongs_is_refused_without_its_password() {
    let home = Home::new();
    let postgres = "postgres://u:canary@127.0.0.1:1/d";
    let sqlalchemy = "postgresql+psycopg2://u:canary@127.0.0.1:1/d";
    let http = "http://u:canary@127.0.0.1:1";
    for arguments in [
        [postgres].as_slice(),
        &[postgres, "--from", "lcs-cache-sqlite"],
        &[postgres, "--from", "openai-agents-sqlite", "--user", "ada"],
        &[sqlalchemy, "--from", "lcs-cache-postgres"],
        &["http://127.0.0.1:1", "--from", "llama-stack", "--metadata", sqlalchemy],
        &[http, "--from", "llama-stack", "--metadata", "absent.sqlite"],
    ] {
        let (code, said) = home.failure(&[&["import"], arguments].concat());
        assert!(code == 1 && !said.contains("canary"), "{arguments:?}: {said}");
    }
}

#[test]
fn an_export_is_whole_or_not_there() {
    let home = Home::new();
    home.json(&["chat", "--once", "hello"]);
    let path = home.path("out.jsonl");
    let out = path.to_str().unwrap();
    home.answer(&["export", out]);
    let before = fs::read(&path).unwrap();
    let (_, said) = home.failure(&["export", out]);
    assert!(said.contains("is there already: choose another name, or say --force"), "{said}");
    home.answer(&["export", out, "--force", "--status", "archived"]);
    assert!(fs::read(&path).unwrap().len() < before.len());
    let (_, said) = home.failure(&["export", home.path("no/such/folder").to_str().unwrap()]);
    assert!(said.contains("cannot be written"), "{said}");
    let left: Vec<_> = fs::read_dir(home.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with(".export-")), "{left:?}");
}

#[cfg(unix)]
#[test]
fn an_interrupted_export_leaves_no_file_and_an_interrupted_import_goes_on() {
    let home = Home::new();
    let url = sqlite(&home.path("a.sqlite"));
    let input = home.path("in.jsonl");
    fs::write(&input, file(2_000, 3)).unwrap();
    let input = input.to_str().unwrap();
    let mut import = home.command(&["import", input, "--json", "--database-url", &url]);
    let import = import.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    interrupt(import.id());
    let output = import.wait_with_output().unwrap();
    if let Ok(answer) = serde_json::from_slice::<Value>(&output.stdout) {
        assert_eq!(output.status.success(), answer["stopped"] == false, "{answer}");
    }
    let answer = home.json(&["import", input, "--database-url", &url]);
    assert_eq!(answer["stored"].as_u64().unwrap() + answer["present"].as_u64().unwrap(), 2_000);

    let folder = home.path("folder");
    fs::create_dir(&folder).unwrap();
    let out = folder.join("out.jsonl.gz");
    let files = || fs::read_dir(&folder).unwrap().count();
    for _ in 0..20 {
        let mut export = home.command(&["export", out.to_str().unwrap(), "--database-url", &url]);
        let mut export = export.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while files() == 0 && export.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        interrupt(export.id());
        let output = export.wait_with_output().unwrap();
        if output.status.success() {
            // It was done before it heard of that: once more.
            fs::remove_file(&out).unwrap();
            continue;
        }
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        assert_eq!(files(), 0, "{}", text(&output.stderr));
        return;
    }
    panic!("no export was interrupted");
}

/// Ctrl-C, at once or a little later: whenever it comes, what is left is whole.
pub(super) fn interrupt(process: u32) {
    let sent = std::process::Command::new("kill").args(["-INT", &process.to_string()]).status().unwrap();
    assert!(sent.success());
}

/// The kill comes at another moment in each round: before the first batch, between two, in the middle of one.
#[cfg(unix)]
#[test]
fn an_import_that_is_killed_and_run_again_loses_nothing_and_doubles_nothing() {
    let seed = std::env::var("LCS_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| std::process::id().into());
    println!("LCS_TEST_SEED={seed}");
    let mut state = seed | 1;
    let mut random = |below: u64| {
        // Xorshift: any spread of moments will do.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let home = Home::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(TestPostgres::create());
    // Some are long enough to be stored turn by turn.
    let mut written = file(1_500, 3);
    let long =
        file(1, 1_500).replace("-8000-", "-800a-").replace("-8002-", "-800b-").replace("-8003-", "-800c-");
    written.push_str(&long);
    let input = home.path("in.jsonl");
    fs::write(&input, &written).unwrap();
    let input = input.to_str().unwrap();
    for url in [sqlite(&home.path("a.sqlite")), database.url().to_owned()] {
        // The schema first, so that the kills hit the import.
        home.json(&["migrate", "run", "--database-url", &url]);
        for _ in 0..8 {
            let mut import = home.command(&["import", "-", "--database-url", &url]);
            let import = import.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut import = import.spawn().unwrap();
            // It has read at least what does not fit into a pipe, and is at whatever comes of that.
            let some = usize::try_from(random(written.len() as u64)).unwrap();
            import.stdin.take().unwrap().write_all(&written.as_bytes()[..some]).unwrap();
            import.kill().unwrap();
            import.wait().unwrap();
        }
        let answer = home.json(&["import", input, "--database-url", &url]);
        let number = |field: &str| answer[field].as_u64().unwrap();
        assert_eq!(number("stored") + number("present"), 1_501, "seed {seed}: {answer}");
        assert_eq!(number("rejected") + number("continued"), 0, "seed {seed}: {answer}");
        let mut exported = home.exported(&url, "out.jsonl");
        let mut expected = comparable(&written);
        for lines in [&mut exported, &mut expected] {
            lines.retain(|line| line["type"] != "header" && line["type"] != "trailer");
        }
        assert_eq!(exported.len(), expected.len(), "seed {seed}");
        assert!(exported == expected, "seed {seed}: what is stored is what was written");
        assert_eq!(home.json(&["doctor", "--database-url", &url])["healthy"], true, "seed {seed}");
    }
}
