//! A file of conversations to import: ten turns and an agent's state each.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use lcs_benches::Result;

const TURNS: u64 = 10;

/// How many rows a conversation has beside its own.
pub(crate) const STATES_AND_TURNS: u64 = 1 + TURNS;

const AT: &str = "2026-01-31T12:00:00.123456Z";

/// A user: the first one has a tenth of all conversations.
pub(crate) fn user(number: u64) -> String {
    format!("018f0000-0000-7000-8001-{number:012x}")
}

/// Writes `count` conversations.
pub(crate) fn write_conversations(path: &Path, count: u64) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    writeln!(
        file,
        r#"{{"type":"header","format":"lcs-persistence","version":1,"exported_at":"{AT}","filter":{{"statuses":["active"]}}}}"#
    )?;
    for n in 0..count {
        let id = format!("018f0000-0000-7000-8000-{n:012x}");
        let agent = format!("018f0000-0000-7000-8002-{n:012x}");
        let user = user(if n < count / 10 { 0 } else { 1 + n % 1000 });
        writeln!(
            file,
            r#"{{"type":"conversation","conversation_id":"{id}","user_id":"{user}","agent_id":"{agent}","model_id":"a-model","created_at":"{AT}","updated_at":"{AT}","status":"active","metadata":{{}},"turn_count":{TURNS},"state_revision":10,"topic_summary":"what to do about pod {n}"}}"#
        )?;
        writeln!(
            file,
            r#"{{"type":"agent_state","agent_id":"{agent}","conversation_id":"{id}","agent_config":{{"model":"a-model"}},"current_state":{{"facts":{{"pod":"web-{n}"}},"turns":10}},"created_at":"{AT}","updated_at":"{AT}","revision":10,"through_turn":10}}"#
        )?;
        for turn in 1..=TURNS {
            let turn_id = format!("018f0000-{turn:04x}-7000-8003-{n:012x}");
            writeln!(
                file,
                r#"{{"type":"turn","turn_id":"{turn_id}","conversation_id":"{id}","turn_number":{turn},"input_messages":[{{"content":"Why does pod web-{n} restart for the {turn}th time? Its log says that the probe has failed, and nothing else that I can make sense of.","role":"user"}}],"output_message":{{"content":"The liveness probe fails while the process starts: give it a start-up probe, or a longer initial delay. The events of the pod say how long it takes to answer, and which of its probes was the one.","role":"assistant"}},"started_at":"{AT}","completed_at":"{AT}","metadata":{{"lcs:model":"a-model","lcs:provider":"a-provider"}}}}"#
            )?;
        }
    }
    writeln!(
        file,
        r#"{{"type":"trailer","conversations":{count},"agent_states":{count},"turns":{}}}"#,
        count * TURNS
    )?;
    Ok(file.flush()?)
}
