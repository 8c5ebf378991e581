//! What a harness asks of a worker and what it is answered, one line of JSON each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a worker is asked.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(tag = "cmd", rename_all = "snake_case")]
pub enum Command {
    /// What it is called, and what it can do.
    Hello,
    /// Make the schema and load the rows.
    Setup,
    /// Make the schema, and no rows.
    Tables,
    /// Make one conversation of `n` turns.
    Grow {
        /// How many.
        n: u64,
    },
    /// Run a workload.
    Run(Run),
    /// End.
    Quit,
}

/// One slice of load.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Run {
    /// Which workload.
    pub workload: String,
    /// How many clients.
    pub concurrency: u64,
    /// How long; without it, `max_ops` ends the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// How many operations at most, all clients together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ops: Option<u64>,
    /// What the clients' choices are drawn from.
    #[serde(default = "first_seed")]
    pub seed: u64,
    /// The one conversation to work on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conv: Option<u64>,
}

const fn first_seed() -> u64 {
    1
}

/// What a worker answers.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// The command failed.
    Failed {
        /// Why, in one sentence.
        error: String,
    },
    /// To `hello`.
    Hello {
        /// What it is called.
        #[serde(rename = "impl")]
        name: String,
        /// Which workloads it can run.
        workloads: Vec<String>,
        /// What a reader of its figures must know, by workload.
        notes: BTreeMap<String, String>,
    },
    /// To `run`.
    Measured(Measurement),
    /// To all others.
    Done {
        /// Always true.
        ok: bool,
        /// The number of the conversation that was made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        conv: Option<u64>,
    },
}

/// What came of a run. Times are in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
pub struct Measurement {
    /// Operations that succeeded.
    pub ops: u64,
    /// How long it took.
    pub seconds: f64,
    /// Operations a second.
    pub ops_per_s: f64,
    /// Half of the operations took at most this.
    pub p50_us: Option<f64>,
    /// 95 in 100 of them.
    pub p95_us: Option<f64>,
    /// 99 in 100 of them.
    pub p99_us: Option<f64>,
    /// The processor time of this process for each operation, in user and system mode.
    pub client_cpu_us_per_op: Option<f64>,
    /// Operations that failed, by what they failed with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Command {
        serde_json::from_str(line).unwrap()
    }

    #[test]
    fn commands_are_read_as_the_harness_writes_them() {
        assert_eq!(read(r#"{"cmd":"hello"}"#), Command::Hello);
        assert_eq!(read(r#"{"cmd": "grow", "n": 1000}"#), Command::Grow { n: 1_000 });
        let run = r#"{"cmd":"run","workload":"W1","concurrency":8,"seconds":1.0,"seed":3}"#;
        let Command::Run(run) = read(run) else { panic!("no run") };
        assert_eq!((run.seconds, run.max_ops, run.seed, run.conv), (Some(1.0), None, 3, None));
        let run = r#"{"cmd":"run","workload":"W3","concurrency":1,"max_ops":20,"conv":1001000}"#;
        let Command::Run(run) = read(run) else { panic!("no run") };
        assert_eq!((run.seconds, run.max_ops, run.seed, run.conv), (None, Some(20), 1, Some(1_001_000)));
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for line in ["", "{}", r#"{"cmd":"dance"}"#, r#"{"cmd":"run","workload":"W1"}"#, r#"{"cmd":"grow"}"#]
        {
            assert!(serde_json::from_str::<Command>(line).is_err(), "{line}");
        }
    }

    #[test]
    fn answers_are_told_apart() {
        let answers = [
            Answer::Failed { error: "no".into() },
            Answer::Hello { name: "ours".into(), workloads: vec!["W1".into()], notes: BTreeMap::new() },
            Answer::Measured(Measurement {
                ops: 3,
                seconds: 1.0,
                p50_us: Some(2.5),
                ..Measurement::default()
            }),
            Answer::Done { ok: true, conv: Some(1_001_000) },
            Answer::Done { ok: true, conv: None },
        ];
        for answer in answers {
            let line = serde_json::to_string(&answer).unwrap();
            assert_eq!(serde_json::from_str::<Answer>(&line).unwrap(), answer, "{line}");
        }
    }
}
