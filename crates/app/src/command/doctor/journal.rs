//! What `doctor` says of the journals of this machine: also where the database is gone, and then above all.

use std::path::Path;

use lcs_domain::diagnostic::Finding;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{Clock, PageLimit, SystemClock};
use lcs_storage::sqlite::{JournalLine, JournalSlot};

use super::super::journal::{Opened, all_conflicts, open};
use crate::output::age::ago;
use crate::output::text::{count, one_line};

const JOURNAL: &str = "journal";
const CONFLICTS: &str = "conflicts";

/// Conflicts that are named one by one.
const NAMED: usize = 20;

/// The findings on the journals of `folder`; none where nothing was ever journaled.
pub(super) async fn examine(folder: &Path) -> Vec<Finding> {
    let slots = match JournalSlot::all(folder).await {
        Ok(slots) => slots,
        Err(error) => return vec![Finding::error(JOURNAL, error.to_string(), "correct the folder")],
    };
    let mut findings = Vec::new();
    for slot in slots {
        let name = name(&slot);
        match examine_one(slot).await {
            Ok(found) => findings.extend(found),
            Err(error) => {
                let remedy = "restore the file, or move it away: what only it held is lost then";
                findings.push(Finding::error(JOURNAL, format!("{name}: {error}"), remedy));
            }
        }
    }
    findings
}

fn name(slot: &JournalSlot) -> String {
    format!("journal {}", slot.number)
}

async fn examine_one(slot: JournalSlot) -> RepositoryResult<Vec<Finding>> {
    let name = name(&slot);
    let Opened { slot, look } = open(slot).await?;
    let status = look.status().await?;
    let entries =
        if status.entries == 1 { "1 entry".to_owned() } else { format!("{} entries", status.entries) };
    let oldest = status.oldest.map(|oldest| format!(", the oldest taken {}", ago(oldest, SystemClock.now())));
    let detail = format!("{name}: {entries}{}", oldest.unwrap_or_default());
    let mut findings = vec![match (status.entries, slot.running) {
        (0, _) => Finding::ok(JOURNAL, detail),
        (_, true) => Finding::warning(
            JOURNAL,
            format!("{detail}; a process has it, and replays them when the database is there"),
            "bring the database back",
        ),
        (_, false) => Finding::warning(
            JOURNAL,
            format!("{detail}; no process has it"),
            "start a process with this configuration: when the database is there, one that runs takes them over",
        ),
    }];
    let page = look.entries(0, PageLimit::MAX).await?;
    findings.extend(page.into_iter().filter(|line| line.content.is_err()).map(
        |JournalLine { sequence, .. }| {
            let remedy = format!("run `lcs-persistence journal set-aside {sequence} --slot {}`", slot.number);
            Finding::error(JOURNAL, format!("{name}: entry {sequence} cannot be read"), remedy)
        },
    ));
    let conflicts = all_conflicts(&look).await?;
    if conflicts.is_empty() {
        return Ok(findings);
    }
    findings.push(Finding::warning(
        CONFLICTS,
        format!("{name}: {} that the database refused", count(conflicts.len() as u64, "conflict")),
        "for each, `lcs-persistence journal retry NUMBER` or `journal discard NUMBER --yes`",
    ));
    findings.extend(conflicts.iter().take(NAMED).map(|conflict| {
        let what = match &conflict.line.content {
            Ok(content) => format!("{} of conversation {}", content.kind, content.conversation_id),
            Err(_) => "unreadable".to_owned(),
        };
        let (number, reason) = (conflict.line.sequence, one_line(&conflict.reason));
        let detail = format!("{number}, {what}: {reason}");
        Finding { remedy: None, ..Finding::warning(CONFLICTS, detail, "") }
    }));
    Ok(findings)
}
